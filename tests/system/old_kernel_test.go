package system

import (
	"testing"
	"time"

	"crisp.test/tests/system/host"
)

// Every optional kernel feature switched off, as on older kernels: a pod's whole life works all the same.
func TestOldKernel(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[debug]\nkernel_features_off = [\"overlay_lowerdir_plus\", \"clone_detached_mount\", \"pidfd_exit_info\", \"proc_pidns\", \"cgroup_kill\"]\n"})
	pod := h.Pod()
	id := h.Sleeper(pod)
	if got := h.ExecOut(id, "cat /proc/1/comm; ping -c 1 -W 5 "+h.PodIP(pod)+" >/dev/null && echo pong"); got != "sh\npong" {
		t.Errorf("%q", got)
	}
	if s, out, _ := h.Sh(pod, "echo said; exit 6"); s.ExitCode != 6 || out != "said" {
		t.Errorf("exit code %d, %q", s.ExitCode, out)
	}
	forks := h.Run(pod, []string{"/bin/sh", "-c", "trap '' TERM; for i in 1 2 3 4 5; do sh -c 'trap \"\" TERM; sleep 1000' & done; wait"})
	h.StopContainer(forks, 0)
	if s := h.Status(forks); s.ExitCode != 137 {
		t.Errorf("killed container has exit code %d", s.ExitCode)
	}
	h.KillDaemon()
	h.StartDaemon()
	h.ExecOut(id, "true")
	begin := time.Now()
	h.StopContainer(id, 30)
	if s := h.Status(id); s.ExitCode != 0 || time.Since(begin) > 20*time.Second {
		t.Errorf("exit code %d after %s", s.ExitCode, time.Since(begin))
	}
}
