package security

import (
	"archive/tar"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// WORKDIR and VOLUME of an image: through links and dots, over /proc, too long. Nothing is made on the host.
func TestS08HostileImagePaths(t *testing.T) {
	h := host.Start(t, host.Options{})
	outside := h.Folder + "/outside"
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	layer := registry.GzipLayer(registry.Tar(append(registry.BusyboxEntries(),
		registry.Entry{Name: "a", Type: tar.TypeSymlink, Link: "/"}, registry.Entry{Name: "out", Type: tar.TypeSymlink, Link: outside})))
	pod := h.Pod()
	paths := []string{"/a/b", "/../../../etc/x", "/out/made", "/proc/self/fd/3", "/proc/self", "/etc/passwd", strings.Repeat("/d", 2047), "/proc", "/sys/kernel", "relative/../..", "/x\x00y"}
	for _, path := range paths {
		for kind, config := range map[string]registry.Config{
			"WORKDIR": {Cmd: []string{"true"}, WorkingDir: path}, "VOLUME": {Cmd: []string{"true"}, Volumes: map[string]struct{}{path: {}}}} {
			image := registry.Build(config, layer)
			if err := tryLoad(h, image); err != nil {
				continue
			}
			id, err := h.TryCreate(pod, h.ContainerConfig([]string{"sh", "-c", "grep -q ' /proc proc ' /proc/self/mounts && test ! -e /proc/self/made && echo real; pwd"},
				func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
			if err == nil && h.TryStart(id) == nil {
				h.WaitExit(id)
				out, errText := h.Written(id)
				if !strings.HasPrefix(out, "real") || strings.Contains(out, "unreachable") {
					t.Errorf("%s %.60q: %q %q", kind, path, out, errText)
				}
			}
			if id != "" {
				h.RemoveContainer(id)
			}
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Fatalf("%s %.60q: the host's folder now holds %v", kind, path, names)
			}
		}
	}
	for _, made := range []string{"/etc/x", "/b"} {
		if _, err := os.Lstat(made); err == nil {
			t.Errorf("%s was made on the host", made)
		}
	}
}
