package security

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2021-43784: lengths that would wrap in a message to the launcher are refused, or have exactly their effect.
func TestS14LengthsThatWrap(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, size := range []int{65535, 65536, 131071} {
		long := "/" + strings.Repeat("a", size-1)
		for name, change := range map[string]host.Container{
			"host path":      func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: long, ContainerPath: "/x"}} },
			"container path": func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: "/tmp", ContainerPath: long}} },
			"working dir":    func(c *v1.ContainerConfig) { c.WorkingDir = long },
			"masked path":    edit(func(s *v1.LinuxContainerSecurityContext) { s.MaskedPaths = []string{long} }),
		} {
			if _, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, change)); err == nil {
				t.Errorf("%s of %d bytes was accepted", name, size)
			}
		}
		if size > 131000 {
			continue // the kernel takes 128 KiB in one string, name and all
		}
		_, out, _ := h.Sh(pod, "echo ${#LONG}", func(c *v1.ContainerConfig) {
			c.Envs = []*v1.KeyValue{{Key: "LONG", Value: []byte(long)}}
		})
		if out != fmt.Sprint(size) {
			t.Errorf("a variable of %d bytes: %q", size, out)
		}
	}
	many := make([]int64, 4096)
	for i := range many {
		many[i] = int64(100000 + i)
	}
	_, out, _ := h.Sh(pod, "grep ^Groups /proc/self/status | wc -w", edit(func(s *v1.LinuxContainerSecurityContext) { s.SupplementalGroups = many }))
	if out != "4098" { // the word "Groups:", the primary one and these
		t.Errorf("4096 groups: %q", out)
	}
}

// CVE-2022-0492, CVE-2023-25809: no way out through cgroups or new namespaces.
func TestS15CgroupsAndNamespaces(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), edit(func(s *v1.LinuxContainerSecurityContext) {
		s.Capabilities = &v1.Capability{AddCapabilities: []string{"DAC_OVERRIDE"}}
	}))
	for what, script := range map[string]string{
		"release_agent":    "for f in $(find /sys/fs/cgroup -name release_agent); do echo /x > $f && exit 0; done; exit 1",
		"cgroup.procs":     "for f in $(find /sys/fs/cgroup -name cgroup.procs); do echo 0 > $f && exit 0; done; exit 1",
		"user namespace":   "unshare -Ur true",
		"mount namespace":  "unshare -m true",
		"cgroup mount":     "mkdir /tmp/c && mount -t cgroup -o memory none /tmp/c",
		"remount":          "mount -o remount,rw /sys",
		"cgroup namespace": "nsenter -t 1 -C true",
	} {
		if out, errText, code := h.Exec(id, "sh", "-c", script); code == 0 {
			t.Errorf("%s: allowed (%q, %q)", what, out, errText)
		}
	}
	if got := h.ExecOut(id, "cut -d: -f3 /proc/1/cgroup | sort -u"); got != "/" {
		t.Errorf("the container sees cgroup paths %q, not its own namespace", got)
	}
}
