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

// Images whose /proc, /dev, /etc, /tmp ... are links out: nothing of the host changes; the pod starts or is refused cleanly.
func TestS06ImageLinksOut(t *testing.T) {
	h := host.Start(t, host.Options{})
	outside := h.Folder + "/outside"
	if err := os.MkdirAll(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	pod := h.Pod()
	for _, place := range []string{"dev", "dev/pts", "dev/shm", "etc", "etc/hosts", "etc/resolv.conf", "etc/mtab", "run", "tmp", "proc", "sys"} {
		for _, to := range []string{outside, strings.Repeat("../", 20) + outside[1:], "nowhere/at/all", place} {
			entries := []registry.Entry{}
			for _, e := range registry.BusyboxEntries() {
				if e.Name != place+"/" && !(strings.HasPrefix(e.Name, place+"/")) {
					entries = append(entries, e)
				}
			}
			entries = append(entries, registry.Entry{Name: place, Type: tar.TypeSymlink, Link: to})
			image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.PlainLayer(registry.Tar(entries)))
			if err := tryLoad(h, image); err != nil {
				t.Errorf("%s -> %s: pull: %v", place, to, err)
				continue
			}
			id, err := h.TryCreate(pod, h.ContainerConfig([]string{"sh", "-c", "grep -c . /proc/self/status; grep -q ' /proc proc ' /proc/self/mounts && echo real"},
				func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }))
			if err == nil {
				err = h.TryStart(id)
			}
			if err == nil {
				h.WaitExit(id)
				if out, errText := h.Written(id); !strings.Contains(out, "real") {
					t.Errorf("%s -> %s: /proc is not real: %q %q", place, to, out, errText)
				}
			}
			if id != "" {
				h.RemoveContainer(id)
			}
			if names, _ := os.ReadDir(outside); len(names) != 0 {
				t.Fatalf("%s -> %s: the host's folder now holds %v", place, to, names)
			}
		}
	}
}
