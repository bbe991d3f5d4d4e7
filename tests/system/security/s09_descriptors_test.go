package security

import (
	"fmt"
	"os"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// A working directory through /proc/self/fd is refused; one that is missing is made inside the container only.
func TestS09WorkingDirectories(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	dirs := []string{"/proc/1/fd/5", "/proc/self/cwd/../..", "/etc/passwd", "/proc/self/root"}
	for fd := 3; fd < 40; fd++ {
		dirs = append(dirs, fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	for _, dir := range dirs {
		id, err := h.TryCreate(pod, h.ContainerConfig([]string{"sh", "-c", "pwd; ls /; cat /etc/hostname"}, func(c *v1.ContainerConfig) { c.WorkingDir = dir }))
		if err == nil {
			err = h.TryStart(id)
		}
		if err == nil && dir != "/proc/self/root" && dir != "/proc/self/cwd/../.." {
			h.WaitExit(id)
			out, _ := h.Written(id)
			t.Errorf("working directory %s was accepted: %q", dir, out)
		}
	}
	s, out, _ := h.Sh(pod, "pwd", func(c *v1.ContainerConfig) { c.WorkingDir = "/made/by/crisp" })
	if s.ExitCode != 0 || out != "/made/by/crisp" {
		t.Errorf("a missing working directory: exit code %d, %q", s.ExitCode, out)
	}
	if _, err := os.Stat("/made"); err == nil {
		t.Error("the working directory was made on the host")
	}
}
