package security

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// memory is the resident memory of a process in bytes.
func memory(pid int) int {
	fields := strings.Fields(hostFile("/proc/" + itoa(pid) + "/statm"))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[1])
	return pages * os.Getpagesize()
}

// CVE-2022-1708: what an exec writes without end is thrown away beyond the limit, in memory and on disk.
func TestS50EndlessOutput(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	h.Exec(id, "true")
	base, peak := memory(h.DaemonPid()), 0
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), host.Limit)
		defer cancel()
		_, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Timeout: 3, Cmd: []string{"sh", "-c", "cat /dev/zero & cat /dev/zero >&2"}})
		done <- err
	}()
	for {
		select {
		case err := <-done:
			if err == nil {
				t.Error("an endless exec ended without an error")
			}
			if peak > base+80<<20 {
				t.Errorf("the daemon grew from %d to %d bytes", base, peak)
			}
			return
		case <-time.After(20 * time.Millisecond):
			peak = max(peak, memory(h.DaemonPid()))
		}
	}
}

// CVE-2020-15257: no socket of ours is reachable from a pod of the host's network, and the CRI is root's.
func TestS57NoAbstractSockets(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(host.HostNetwork))
	for _, line := range strings.Split(h.ExecOut(id, "cat /proc/net/unix"), "\n") {
		if fields := strings.Fields(line); len(fields) == 8 && strings.HasPrefix(fields[7], "@") && strings.Contains(fields[7], "crisp") {
			t.Errorf("abstract socket: %s", line)
		}
	}
	info, err := os.Stat(h.Socket)
	if err != nil || info.Mode().Perm()&0o007 != 0 || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("the socket's mode is %v (%v)", info.Mode(), err)
	}
	out, errText, code := h.Exec(h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: h.Socket, ContainerPath: "/crisp.sock"}}
		c.Linux.SecurityContext.RunAsUser, c.Linux.SecurityContext.RunAsGroup = &v1.Int64Value{Value: 2000}, &v1.Int64Value{Value: 2000}
	}), "sh", "-c", "test -w /crisp.sock || test -r /crisp.sock")
	if code == 0 {
		t.Errorf("another user may use the socket: %q %q", out, errText)
	}
}

// CVE-2019-14891: containers that eat all their memory kill themselves, never what holds them.
func TestS58MemoryBombs(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	keepers, daemon := h.KeeperPids(), h.DaemonPid()
	for i := 0; i < 8; i++ {
		s, out, _ := h.Sh(pod, "x=$(head -c 64000000 /dev/zero | tr '\\0' x); echo survived", func(c *v1.ContainerConfig) {
			c.Linux.Resources.MemoryLimitInBytes = 8 << 20
		})
		if s.ExitCode == 0 || strings.Contains(out, "survived") {
			t.Fatalf("bomb %d: exit code %d, %q", i, s.ExitCode, out)
		}
	}
	if now := h.KeeperPids(); len(now) != 1 || now[0] != keepers[0] {
		t.Errorf("keeper %v is now %v", keepers, now)
	}
	if h.DaemonPid() != daemon || h.Ping() != nil {
		t.Error("the daemon is not what it was")
	}
	for _, pid := range append(keepers, daemon) {
		threads, _ := filepath.Glob("/proc/" + itoa(pid) + "/task/*/cgroup")
		for _, thread := range threads {
			if cgroups := hostFile(thread); strings.Contains(cgroups, pod.ID) || strings.Contains(cgroups, pod.Config.Metadata.Name) {
				t.Errorf("%s of crisp is in a pod's cgroup: %s", thread, cgroups)
			}
		}
	}
}

// CVE-2020-8557: what a pod writes into the files that crisp gives it is bounded.
func TestS59PodFilesAreBounded(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, file := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"} {
		out := h.ExecOut(id, "(dd if=/dev/zero bs=4k count=64 >> "+file+") 2>&1 | grep -c 'No space'; wc -c < "+file)
		lines := strings.Fields(out)
		if len(lines) != 2 || lines[0] == "0" {
			t.Errorf("%s took 256 KiB: %q", file, out)
		} else if size, _ := strconv.Atoi(lines[1]); size > 64<<10 {
			t.Errorf("%s now has %d bytes", file, size)
		}
		h.Exec(id, "sh", "-c", ": > "+file)
	}
}
