package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crisp.test/tests/system/host"
)

// waitFor polls a condition; the deadline only ends a hang.
func waitFor(h *host.Host, what string, met func() bool) {
	h.Helper()
	for deadline := time.Now().Add(host.Limit); !met(); {
		if time.Now().After(deadline) {
			h.Fatalf("waited %s for %s", host.Limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func waitForText(h *host.Host, id, text string) {
	h.Helper()
	waitFor(h, "log of "+id[:8]+" to have "+text, func() bool {
		for _, line := range h.Lines(id) {
			if strings.Contains(line.Text, text) {
				return true
			}
		}
		return false
	})
}

// execGroups are the cgroups of execs below the pod's, in all hierarchies.
func execGroups(pod *host.Pod) []string {
	var groups []string
	for _, pattern := range []string{"/sys/fs/cgroup/*", "/sys/fs/cgroup"} {
		found, _ := filepath.Glob(pattern + pod.Config.Linux.CgroupParent + "/*/exec-*")
		groups = append(groups, found...)
	}
	return groups
}

// figures of a process: descriptors, threads, resident kilobytes.
func figures(pid int) (fds, threads, kilobytes int) {
	proc := fmt.Sprintf("/proc/%d", pid)
	open, _ := os.ReadDir(proc + "/fd")
	tasks, _ := os.ReadDir(proc + "/task")
	status, _ := os.ReadFile(proc + "/status")
	for _, line := range strings.Split(string(status), "\n") {
		fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes)
	}
	return len(open), len(tasks), kilobytes
}
