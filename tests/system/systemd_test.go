package system

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/node"
)

// systemdHost starts crisp where systemd is pid 1 and cgroups are v2 alone (tests/vm/run --systemd), else skips.
func systemdHost(t *testing.T) *host.Host {
	if !node.OnHost() || !unified() {
		t.Skip("needs systemd as pid 1 and cgroup v2 (run in the VM: tests/vm/run --systemd)")
	}
	return host.Start(t, host.Options{})
}

// burstable is the parent that the kubelet computes for a pod of that class, and where its cgroup stands.
func burstable(c *v1.PodSandboxConfig) {
	uid := strings.ReplaceAll(c.Metadata.Uid, "-", "_")
	c.Linux.CgroupParent = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid + ".slice"
}

func cgroupOf(pod *host.Pod, id string) string {
	return filepath.Join("/sys/fs/cgroup", pod.Config.Linux.CgroupParent, "crisp-"+id+".scope", "container")
}

func readLine(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gone waits until systemd has removed the scope's cgroup.
func gone(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(host.Limit); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
}

// Auto chooses systemd; a container is a scope in the slice that the kubelet computed, with its limits; nothing stays.
func TestSystemdScope(t *testing.T) {
	h := systemdHost(t)
	config, err := h.Runtime.RuntimeConfig(t.Context())
	if err != nil || config.Linux.CgroupDriver != v1.CgroupDriver_SYSTEMD {
		t.Fatalf("runtime config %v, %v", config, err)
	}
	pod := h.Pod(burstable)
	id := h.Create(pod, h.ContainerConfig([]string{"/bin/sleep", "1000"}, asked))
	dir := cgroupOf(pod, id)
	if first := readLine(t, dir+"/cgroup.procs"); strings.Count(first, "\n") != 0 || first == "" {
		t.Errorf("members before the start: %q, want the placeholder", first)
	}
	h.StartContainer(id)
	if got := readLine(t, dir+"/memory.max") + " " + readLine(t, dir+"/cpu.max") + " " + readLine(t, dir+"/cpuset.cpus"); got != "67108864 50000 100000 0" {
		t.Errorf("limits: %s", got)
	}
	members := strings.Fields(readLine(t, dir+"/cgroup.procs"))
	if len(members) != 1 || !strings.HasPrefix(readLine(t, "/proc/"+members[0]+"/comm"), "sleep") {
		t.Errorf("members after the start: %v", members)
	}
	if got := systemctl(t, "show", "-p", "Slice,ActiveState,Delegate,TasksMax", "crisp-"+id+".scope"); !strings.Contains(got, "Slice="+filepath.Base(pod.Config.Linux.CgroupParent)) ||
		!strings.Contains(got, "ActiveState=active") || !strings.Contains(got, "Delegate=yes") || !strings.Contains(got, "TasksMax=infinity") {
		t.Errorf("the unit: %s", got)
	}
	if out := h.ExecOut(id, "echo $((6*7))"); out != "42" {
		t.Errorf("exec: %q", out)
	}
	h.StopContainer(id, 0)
	h.RemoveContainer(id)
	gone(t, dir)
	unstarted := h.Create(pod, h.ContainerConfig([]string{"/bin/true"}))
	h.RemoveContainer(unstarted)
	gone(t, cgroupOf(pod, unstarted))
	_, err = h.TryPod(h.PodConfig(func(c *v1.PodSandboxConfig) { c.Linux.CgroupParent = "/kubepods/pod1" }))
	h.WantCode(err, codes.InvalidArgument, "cgroup_parent")
}

// systemd serves one request after the other, so it gets one for a container's life, and a second for an update of what it knows.
func TestSystemdOneCall(t *testing.T) {
	h := systemdHost(t)
	pod := h.Pod(burstable)
	h.RemoveContainer(h.Sleeper(pod))
	life := func(edit func(id string)) string {
		before := metricValue(h, "crisp_systemd_calls_total")
		id := h.Sleeper(pod, asked)
		for range 3 {
			h.ExecOut(id, "true")
		}
		edit(id)
		h.StopContainer(id, 0)
		h.RemoveContainer(id)
		from, _ := strconv.Atoi(before)
		to, _ := strconv.Atoi(metricValue(h, "crisp_systemd_calls_total"))
		if from == 0 {
			t.Error("the calls are not counted")
		}
		return fmt.Sprint(to - from)
	}
	if got := life(func(id string) { mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: 20000}) }); got != "1" {
		t.Errorf("%s calls for a container", got)
	}
	if got := life(func(id string) { mustUpdate(h, id, &v1.LinuxContainerResources{CpuShares: 512}) }); got != "2" {
		t.Errorf("%s calls for a container with an update of its weight", got)
	}
}

// A daemon-reload writes what systemd knows: device access and limits, the updated ones too, are as they were.
func TestSystemdDaemonReload(t *testing.T) {
	h := systemdHost(t)
	pod := h.Pod(burstable)
	id := h.Sleeper(pod, asked, func(c *v1.ContainerConfig) {
		c.Linux.Resources.Unified = map[string]string{"memory.oom.group": "1", "memory.low": "1048576"}
	})
	// A quota that is no whole percent: systemd would round it.
	mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: 12345, MemoryLimitInBytes: 96 << 20, CpuShares: 1024})
	dir := cgroupOf(pod, id)
	var disk unix.Stat_t
	if err := unix.Stat(node.Dir(), &disk); err != nil {
		t.Fatal(err)
	}
	mknod := fmt.Sprintf("mknod /tmp/disk b %d %d", unix.Major(disk.Dev), unix.Minor(disk.Dev))
	check := func(when string) {
		t.Helper()
		if got := limits(h, id) + " " + readLine(t, dir+"/memory.oom.group"); got != "12345 100000 100663296 0 1" {
			t.Errorf("%s: %s", when, got)
		}
		for _, level := range []string{dir, filepath.Dir(dir)} { // in the scope they tell it from its siblings
			if got := readLine(t, level+"/cpu.weight") + " " + readLine(t, level+"/memory.low"); got != "100 1048576" {
				t.Errorf("%s: %s: %s", when, level, got)
			}
		}
		if _, why, code := h.Exec(id, "sh", "-c", mknod+" && head -c 1 /tmp/disk"); code == 0 || !strings.Contains(why, "Operation not permitted") {
			t.Errorf("%s: reading a disk: exit code %d, %s", when, code, why)
		}
		h.ExecOut(id, "head -c 1 /dev/urandom > /dev/null; rm -f /tmp/disk")
	}
	check("before")
	systemctl(t, "daemon-reload")
	check("after a daemon-reload")
	systemctl(t, "set-property", "--runtime", filepath.Base(pod.Config.Linux.CgroupParent), "CPUWeight=50")
	systemctl(t, "daemon-reload")
	check("after a change of the pod's slice")
}

// The scope goes with its last process; that the OOM killer ended it is known all the same.
func TestSystemdOOMKilled(t *testing.T) {
	h := systemdHost(t)
	s, _, _ := h.Sh(h.Pod(burstable), "dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; exit $?", func(c *v1.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes = 15 << 20
	})
	if s.Reason != "OOMKilled" || s.ExitCode != 137 {
		t.Errorf("exit code %d, reason %q, want 137 OOMKilled", s.ExitCode, s.Reason)
	}
}

// podSlice makes the pod's slice, as the kubelet does before it runs the pod: it outlives its scopes.
func podSlice(t *testing.T, pod *host.Pod) {
	t.Helper()
	slice := filepath.Base(pod.Config.Linux.CgroupParent)
	systemctl(t, "start", slice)
	t.Cleanup(func() { systemctl(t, "stop", slice) })
}

// A child of the container is killed for want of memory, its parent ends with an error, and systemd has removed the scope before
// the daemon looks (it is stopped meanwhile): the kill is known all the same, and no other container of the pod gets it.
func TestSystemdOOMOfChild(t *testing.T) {
	h := systemdHost(t)
	pod := h.Pod(burstable)
	podSlice(t, pod)
	small := func(c *v1.ContainerConfig) { c.Linux.Resources.MemoryLimitInBytes = 15 << 20 }
	const hog = "dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; "
	other := h.Run(pod, []string{"/bin/sh", "-c", hog + "echo $?; sleep 100000"}, small) // has one of its own, and lives
	waitFor(h, "the OOM kill of a container that goes on", func() bool { out, _ := h.Written(other); return out == "137" })
	for i, c := range []struct{ script, reason string }{
		{"exit 3", "Error"}, {hog + "exit 3", "OOMKilled"}, {"exit 3", "Error"}, {hog + "exit 0", "OOMKilled"},
	} {
		volume := filepath.Join(h.Folder, fmt.Sprint("go", i))
		if err := os.Mkdir(volume, 0o755); err != nil {
			t.Fatal(err)
		}
		id := h.Run(pod, []string{"/bin/sh", "-c", "until [ -e /v/go ]; do sleep 1; done; " + c.script}, small,
			func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: volume, ContainerPath: "/v"}} })
		endUnseen(t, h, filepath.Dir(cgroupOf(pod, id)), volume+"/go")
		if s := h.WaitExit(id); s.Reason != c.reason {
			t.Errorf("%q: exit code %d, reason %q, want %q", c.script, s.ExitCode, s.Reason, c.reason)
		}
	}
}

// endUnseen tells a container to end, and keeps the daemon from looking until systemd has removed its scope.
func endUnseen(t *testing.T, h *host.Host, scope, sign string) {
	t.Helper()
	daemon := h.DaemonPid()
	if err := unix.Kill(daemon, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(daemon, unix.SIGCONT)
	if err := os.WriteFile(sign, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gone(t, scope)
}

// A container that was created before the daemon died starts in a new scope.
func TestSystemdDaemonKilled(t *testing.T) {
	h := systemdHost(t)
	pod := h.Pod(burstable)
	running, created := h.Sleeper(pod), h.Create(pod, h.ContainerConfig([]string{"/bin/sleep", "1000"}, asked))
	h.KillDaemon()
	h.StartDaemon()
	mustUpdate(h, created, &v1.LinuxContainerResources{CpuQuota: 30000})
	h.StartContainer(created)
	if got := readLine(t, cgroupOf(pod, created)+"/cpu.max"); got != "30000 100000" {
		t.Errorf("cpu.max of the new scope: %s", got)
	}
	if out := h.ExecOut(running, "echo fine"); out != "fine" {
		t.Errorf("exec in the old one: %q", out)
	}
}

// The keeper dies: its containers go on in their scopes.
func TestSystemdKeeperKilled(t *testing.T) {
	h := systemdHost(t)
	pod := h.Pod(burstable)
	id := h.Sleeper(pod, asked)
	born := h.ExecOut(id, "cut -d' ' -f22 /proc/1/stat")
	h.KillKeeper()
	waitFor(h, "an exec after the kill", func() bool {
		reply, err := h.Raw.ExecSync(short(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"cut", "-d ", "-f22", "/proc/1/stat"}, Timeout: 30})
		return err == nil && strings.TrimSpace(string(reply.Stdout)) == born
	})
	if got := limits(h, id); got != "50000 100000 67108864 0" {
		t.Errorf("limits after the kill: %s", got)
	}
	h.StopContainer(id, 0)
	h.RemoveContainer(id)
	gone(t, filepath.Dir(cgroupOf(pod, id)))
}
