package system

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crisp.test/tests/system/host"
)

// hierarchiesWith counts the cgroup hierarchies that have this directory.
func hierarchiesWith(parent string) int {
	found, _ := filepath.Glob("/sys/fs/cgroup/*" + parent)
	if _, err := os.Stat("/sys/fs/cgroup" + parent); err == nil {
		return len(found) + 1
	}
	return len(found)
}

// waitForParent waits until the directory is somewhere, or (there false) nowhere.
func waitForParent(t *testing.T, parent string, there bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); hierarchiesWith(parent) != 0 != there; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the pod's cgroup %s is in %d hierarchies", parent, hierarchiesWith(parent))
		}
	}
}

// forgetMark leaves a made parent as a daemon does that is killed before it marked it.
func forgetMark(parent string) {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + parent)
	for _, dir := range append(dirs, "/sys/fs/cgroup"+parent) {
		_ = unix.Removexattr(dir, "trusted.crisp.made")
	}
}

// A parent that is not there is made beside the pod, and goes with it: with or without a container, at once or after a
// restart of the daemon.
func TestPodCgroupParent(t *testing.T) {
	h := host.Start(t, host.Options{})
	for _, restart := range []bool{false, true} {
		pod := h.Pod()
		parent := pod.Config.Linux.CgroupParent
		waitForParent(t, parent, true)
		if restart {
			h.KillDaemon()
			forgetMark(parent)
			h.StartDaemon()
		}
		h.RemovePod(pod.ID)
		if n := hierarchiesWith(parent); n != 0 {
			t.Errorf("restart %v: removed, but its cgroup %s is left in %d hierarchies", restart, parent, n)
		}
	}
	pod := h.Pod()
	h.Sleeper(pod)
	h.RemovePod(pod.ID)
	waitForParent(t, pod.Config.Linux.CgroupParent, false) // the janitor removes the container's own group
}

// One that somebody else made, as the kubelet does, stays.
func TestPodCgroupParentOfTheKubelet(t *testing.T) {
	h := host.Start(t, host.Options{})
	pods, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	config := h.PodConfig()
	parent := config.Linux.CgroupParent
	for _, file := range pods {
		dir := filepath.Join(filepath.Dir(file), parent)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(dir)
	}
	made := hierarchiesWith(parent)
	pod, err := h.TryPod(config)
	if err != nil {
		t.Fatal(err)
	}
	h.RemovePod(pod.ID)
	if n := hierarchiesWith(parent); n != made {
		t.Errorf("%s was in %d hierarchies, is in %d", parent, made, n)
	}
}
