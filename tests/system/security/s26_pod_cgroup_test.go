package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// memoryLimitOf is the file that limits the pod's memory.
func memoryLimitOf(parent string) string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "/sys/fs/cgroup" + parent + "/memory.max"
	}
	return "/sys/fs/cgroup/memory" + parent + "/memory.limit_in_bytes"
}

// tasksOf lists the processes on the node whose command line is the given one.
func tasksOf(command string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " ")) == command {
			pids = append(pids, strings.Split(file, "/")[2])
		}
	}
	return pids
}

// CVE-2025-47291: the cgroups of a pod with a user namespace are where all pods' are, and the pod's limit binds them.
func TestS26CgroupsOfMappedPods(t *testing.T) {
	ids := []*v1.IDMapping{{HostId: 300000, ContainerId: 0, Length: 65536}}
	users := &v1.UserNamespace{Mode: v1.NamespaceMode_POD, Uids: ids, Gids: ids}
	h := host.Start(t, host.Options{})
	for _, mode := range []v1.NamespaceMode{v1.NamespaceMode_CONTAINER, v1.NamespaceMode_POD} {
		pod := h.Pod(func(c *v1.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.UsernsOptions, c.Linux.SecurityContext.NamespaceOptions.Pid = users, mode
		})
		mapped := edit(func(s *v1.LinuxContainerSecurityContext) {
			s.NamespaceOptions.UsernsOptions, s.NamespaceOptions.Pid = users, mode
		})
		number := 987100 + int(mode)
		id := h.Run(pod, []string{"/bin/sh", "-c", fmt.Sprintf("sleep %d & sleep %d", number, number)}, mapped)
		if _, _, code := h.Exec(id, "/bin/sh", "-c", fmt.Sprintf("sleep %d </dev/null >/dev/null 2>&1 &", number)); code != 0 {
			t.Fatalf("exec: %d", code)
		}
		pids := tasksOf(fmt.Sprintf("sleep %d", number))
		if len(pids) != 3 {
			t.Errorf("%d processes of the container on the node, want 3", len(pids))
		}
		pids = append(pids, tasksOf("/crisp-pause")...)
		for _, pid := range pids {
			text, err := os.ReadFile("/proc/" + pid + "/cgroup")
			if err != nil {
				t.Error(err)
			}
			for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
				fields := strings.SplitN(line, ":", 3)
				// Hierarchies that are not mounted here cannot be joined.
				if seen := mountedHierarchy(fields[1]); seen && !strings.HasPrefix(fields[2], pod.Config.Linux.CgroupParent+"/") {
					t.Errorf("process %s is in %s, its pod in %s", pid, line, pod.Config.Linux.CgroupParent)
				}
			}
		}
		podLimitHolds(h, pod, mapped)
		h.RemovePod(pod.ID)
	}
}

func mountedHierarchy(controllers string) bool {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		kind, options := fields[len(fields)-3], ","+fields[len(fields)-1]+","
		switch {
		case controllers == "":
			if kind == "cgroup2" {
				return true
			}
		case kind == "cgroup" && strings.Contains(options, ","+controllers+","):
			return true
		}
	}
	return false
}

// podLimitHolds sets the pod's memory limit, as the kubelet does, and lets a container without one of its own use more.
func podLimitHolds(h *host.Host, pod *host.Pod, mapped host.Container) {
	h.Helper()
	limit := memoryLimitOf(pod.Config.Linux.CgroupParent)
	if err := os.WriteFile(limit, []byte("33554432"), 0o644); err != nil {
		h.Fatalf("limit the pod: %v", err)
	}
	s, _, _ := h.Sh(pod, "dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null; exit $?", mapped)
	if s.ExitCode != 137 {
		h.Errorf("64 MiB within the pod's 32: exit code %d, %s, want 137", s.ExitCode, s.Reason)
	}
}
