package security

import (
	"archive/tar"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// CVE-2025-52565, CVE-2026-88264: the console and the terminal are our own, whatever links the image has at their places.
func TestS04ConsoleThroughLinks(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder, check := outside(h)
	pod := h.Pod()
	for _, place := range []string{"dev/console", "dev/pts", "dev/pts/0", "dev/ptmx"} {
		image := withEntries(registry.Config{Cmd: []string{"sh"}}, registry.Entry{Name: place, Type: tar.TypeSymlink, Link: folder + "/canary"})
		load(h, image)
		out, err := outcome(h, pod, h.ContainerConfig([]string{"sh", "-c", "echo x > /dev/console; test -t 0 && test -c /dev/console && echo terminal; ls -l /dev/console"}, imageOf(image),
			func(c *v1.ContainerConfig) { c.Tty, c.Linux.SecurityContext.ReadonlyRootfs = true, true }))
		if err == nil && !strings.Contains(out, "terminal") {
			t.Errorf("%s: %q", place, out)
		}
		check(place)
	}
}

// CVE-2026-88265: standard input that nobody asked for is the kernel's null device, not what the image calls so.
func TestS07NullFromImage(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder, check := outside(h)
	image := withEntries(registry.Config{Cmd: []string{"sh"}}, registry.Entry{Name: "dev/null", Type: tar.TypeSymlink, Link: folder + "/canary"})
	load(h, image)
	_, out, errText := h.Sh(h.Pod(), "stat -L -c %t:%T:%F /proc/self/fd/0; cat; echo x > /dev/null", imageOf(image))
	if out != "1:3:character special file" {
		t.Errorf("standard input is %q (%s)", out, errText)
	}
	check("/dev/null")
}
