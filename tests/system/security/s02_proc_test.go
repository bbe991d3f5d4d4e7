package security

import (
	"archive/tar"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// S2: a mount whose target is a link of the image into procfs would stand in for what the masks protect (CVE-2023-28642).
func TestS02MountThroughLinkIntoProc(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, to := range []string{"/proc/sys", "/proc/self/attr", "/sys/kernel", "../../proc"} {
		image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.BusyboxLayer(),
			registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "vol", Type: tar.TypeSymlink, Link: to}})))
		if err := tryLoad(h, image); err != nil {
			t.Fatal(err)
		}
		id := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}, func(c *v1.ContainerConfig) {
			c.Image.Image = image.ID()
			c.Mounts = []*v1.Mount{{HostPath: h.Folder, ContainerPath: "/vol"}}
		}))
		if err := h.TryStart(id); err == nil || !strings.Contains(err.Error(), "/vol") {
			t.Errorf("/vol -> %s: start: %v", to, err)
		}
		h.RemoveContainer(id)
	}
}
