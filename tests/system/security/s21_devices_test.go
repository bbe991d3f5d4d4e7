package security

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// GHSA-g54h-m393-cpwq: of all nodes it can open those of the list and no other.
func TestS21DevicesAreAnAllowList(t *testing.T) {
	h := host.Start(t, host.Options{})
	// The nodes are made on the host, so that the container only has to open them, by its shell's own means. EPERM is the device
	// cgroup's answer, any other error comes from behind it.
	nodes := h.Folder + "/nodes"
	if err := os.MkdirAll(nodes, 0o755); err != nil {
		t.Fatal(err)
	}
	for kind, mode := range map[string]uint32{"c": unix.S_IFCHR, "b": unix.S_IFBLK} {
		for major := uint32(1); major < 256; major++ {
			for _, minor := range []uint32{0, 3, 8, 11} {
				name := fmt.Sprintf("%s/%s%d:%d", nodes, kind, major, minor)
				if err := unix.Mknod(name, mode|0o666, int(unix.Mkdev(major, minor))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	script := `cd /nodes; for n in *; do { true < $n; } 2>/dev/shm/e; text=; read text < /dev/shm/e; case "$text" in *"not permitted"*) ;; *) echo $n;; esac; done`
	_, out, errText := h.Sh(h.Pod(), script, func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: nodes, ContainerPath: "/nodes"}}
	})
	allowed := map[string]bool{"c1:3": true, "c1:8": true, "c5:0": true}
	seen := map[string]bool{}
	for _, node := range strings.Fields(out) {
		seen[node] = true
		if !allowed[node] && !strings.HasPrefix(node, "c136:") {
			t.Errorf("%s can be opened", node)
		}
	}
	for node := range allowed {
		if !seen[node] {
			t.Errorf("%s cannot be opened (%.200s)", node, errText)
		}
	}
}

// CVE-2022-24769 and its five brothers: nothing is inheritable or ambient unless it was asked for.
func TestS22NoInheritableCapabilities(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	for name, change := range map[string]func(*v1.LinuxContainerSecurityContext){
		"root":     func(s *v1.LinuxContainerSecurityContext) {},
		"non-root": func(s *v1.LinuxContainerSecurityContext) { s.RunAsUser = &v1.Int64Value{Value: 1000} },
		"added": func(s *v1.LinuxContainerSecurityContext) {
			s.Capabilities = &v1.Capability{AddCapabilities: []string{"NET_ADMIN", "SYS_PTRACE"}}
		},
		"added non-root": func(s *v1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.Capabilities = &v1.Int64Value{Value: 1000}, &v1.Capability{AddCapabilities: []string{"ALL"}}
		},
		"privileged": func(s *v1.LinuxContainerSecurityContext) { s.Privileged = true },
	} {
		id := h.Sleeper(pod, edit(change))
		for what, pid := range map[string]string{"first process": "1", "exec": "self"} {
			out := h.ExecOut(id, "grep -E '^Cap(Inh|Amb)' /proc/"+pid+"/status")
			if strings.Count(out, "0000000000000000") != 2 {
				t.Errorf("%s, %s: %s", name, what, out)
			}
		}
		if strings.HasSuffix(name, "non-root") {
			if out := h.ExecOut(id, "grep -E '^Cap(Prm|Eff)' /proc/self/status"); strings.Count(out, "0000000000000000") != 2 {
				t.Errorf("%s: %s", name, out)
			}
		}
		h.RemoveContainer(id)
	}
}
