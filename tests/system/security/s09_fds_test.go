package security

import (
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2024-21626: the first instruction of a container and of an exec has three descriptors, whatever crisp had open.
func TestS09OnlyThreeDescriptors(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for i := 0; i < 3; i++ {
		h.Sleeper(pod) // more that could be inherited: pipes, pidfds, cgroups of others
	}
	const want = "0 1 2 3" // and the folder that ls reads
	for name, change := range map[string]host.Container{
		"plain": func(*v1.ContainerConfig) {}, "tty": func(c *v1.ContainerConfig) { c.Tty = true },
		"stdin": func(c *v1.ContainerConfig) { c.Stdin = true },
	} {
		_, out, errText := h.Sh(pod, "echo $(ls /proc/self/fd)", change)
		if strings.TrimSpace(out) != want {
			t.Errorf("%s: the first process has %q (%s)", name, out, errText)
		}
	}
	id := h.Sleeper(pod)
	if out := h.ExecOut(id, "echo $(ls /proc/self/fd)"); out != want {
		t.Errorf("an exec has %q", out)
	}
}
