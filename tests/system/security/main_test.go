// Package security has a test for each class of attack in the project's catalogue of runtime vulnerabilities (S1 to S65);
// docs/design/security.md lists them with the break of crisp that turned each one red.
package security

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/node"
	"crisp.test/tests/system/registry"
)

func TestMain(m *testing.M) {
	node.Enter() // from here on: inside the private node
	os.Exit(m.Run())
}

// edit changes a container's security context.
func edit(change func(*v1.LinuxContainerSecurityContext)) host.Container {
	return func(c *v1.ContainerConfig) { change(c.Linux.SecurityContext) }
}

// imageOf makes the container run this image.
func imageOf(image *registry.Image) host.Container {
	return func(c *v1.ContainerConfig) { c.Image.Image = image.ID() }
}

// load pulls an image of the test's own from a registry of the test's own.
func load(h *host.Host, image *registry.Image) {
	h.Helper()
	if err := tryLoad(h, image); err != nil {
		h.Fatalf("pull: %v", err)
	}
}

func tryLoad(h *host.Host, image *registry.Image) error {
	reg := registry.NewScripted()
	defer reg.Close()
	reg.Add("security/image", "v1", image)
	_, err := h.RawImg.PullImage(context.Background(), &v1.PullImageRequest{Image: &v1.ImageSpec{Image: reg.Address + "/security/image:v1"}})
	return err
}

// withEntries is busybox and a layer of the test's own; an entry stands in for busybox's of the same name.
func withEntries(config registry.Config, entries ...registry.Entry) *registry.Image {
	return registry.Build(config, registry.BusyboxLayer(), registry.GzipLayer(registry.Tar(entries)))
}

// outside makes a folder of the host with a canary in it, that everybody may write to, and says how to check it.
func outside(h *host.Host) (folder string, check func(what string)) {
	h.Helper()
	folder = h.Folder + "/outside"
	if err := os.MkdirAll(folder, 0o777); err != nil {
		h.Fatal(err)
	}
	os.Chmod(folder, 0o777)
	if err := os.WriteFile(folder+"/canary", []byte("canary"), 0o666); err != nil {
		h.Fatal(err)
	}
	os.Chmod(folder+"/canary", 0o666)
	return folder, func(what string) {
		h.Helper()
		names, _ := os.ReadDir(folder)
		data, err := os.ReadFile(folder + "/canary")
		if len(names) != 1 || string(data) != "canary" {
			h.Fatalf("%s: the host's folder now holds %v, canary %q (%v)", what, names, data, err)
		}
	}
}

// outcome runs a container to its end: what it wrote, or why it was refused.
func outcome(h *host.Host, pod *host.Pod, config *v1.ContainerConfig) (out string, err error) {
	h.Helper()
	id, err := h.TryCreate(pod, config)
	if err != nil {
		return "", err
	}
	defer h.RemoveContainer(id)
	if err := h.TryStart(id); err != nil {
		return "", err
	}
	h.WaitExit(id)
	out, _ = h.Written(id)
	return out, nil
}

// hostFile reads a file of the host.
func hostFile(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func itoa(n int) string { return strconv.Itoa(n) }

// imageWithFakeProc has files and links where the kernel's own would be.
func imageWithFakeProc(folder string) *registry.Image {
	link := func(name string) registry.Entry {
		return registry.Entry{Name: name, Type: tar.TypeSymlink, Link: folder + "/canary"}
	}
	return withEntries(registry.Config{Cmd: []string{"sh"}},
		registry.Entry{Name: "proc/self/attr/", Type: tar.TypeDir}, link("proc/self/oom_score_adj"), link("proc/self/attr/exec"),
		registry.Entry{Name: "proc/sys/net/ipv4/", Type: tar.TypeDir}, link("proc/sys/net/ipv4/ip_default_ttl"))
}

// makeBadProfiles puts files below the test's folder that are no seccomp profiles.
func makeBadProfiles(h *host.Host) {
	h.Helper()
	if err := syscall.Mkfifo(h.Folder+"/fifo", 0o600); err != nil {
		h.Fatal(err)
	}
	os.WriteFile(h.Folder+"/bad.json", []byte(`{"defaultAction":"SCMP_ACT_ALOW"}`), 0o600)
	os.WriteFile(h.Folder+"/large.json", nil, 0o600)
	os.Truncate(h.Folder+"/large.json", 64<<20)
}

// routeLocalnet are the host's settings that would open its loopback addresses to others.
func routeLocalnet() []string {
	paths, _ := filepath.Glob("/proc/sys/net/ipv4/conf/*/route_localnet")
	return paths
}
