package lifecycle

import (
	"archive/tar"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/node"
	"crisp.test/tests/system/registry"
)

// Two daemons with folders of their own and one parent cgroup: a restart of one sweeps nothing of the other's, whatever state its
// pods are in.
func TestRestartBesideAnother(t *testing.T) {
	first, second := host.Start(t, host.Options{Folder: "first", NoLeak: true}), host.Start(t, host.Options{Folder: "second", NoLeak: true}) // each sees the other's processes
	edits := []host.Sandbox{host.HostNetwork, func(c *v1.PodSandboxConfig) {
		c.Linux.CgroupParent = "/" + node.Name() + "/shared"
		c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_POD
	}}
	type running struct{ sleeper, created string }
	pods := map[*host.Host]running{}
	for _, h := range []*host.Host{first, second} {
		pod := h.Pod(edits...)
		shared := func(c *v1.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_POD
			c.Linux.SecurityContext.NamespaceOptions.Network = v1.NamespaceMode_NODE
		}
		pods[h] = running{h.Sleeper(pod, shared), h.Create(pod, h.ContainerConfig([]string{"/bin/sh", "-c", "exit 4"}, shared))}
	}
	for range 2 {
		first.KillDaemon()
		first.StartDaemon()
		for h, p := range pods {
			if s := h.Status(p.sleeper); s.State != v1.ContainerState_CONTAINER_RUNNING {
				t.Errorf("%s: %v, reason %q, exit code %d", h.Folder, s.State, s.Reason, s.ExitCode)
			} else if out := h.ExecOut(p.sleeper, "echo alive"); out != "alive" {
				t.Errorf("%s: %q", h.Folder, out)
			}
		}
	}
	for h, p := range pods {
		h.StartContainer(p.created)
		if s := h.WaitExit(p.created); s.ExitCode != 4 {
			t.Errorf("%s: the created one ends with %d", h.Folder, s.ExitCode)
		}
	}
	// What is ours and unrecorded is still swept.
	id := strings.Repeat("ab", 32)
	group := filepath.Join("/sys/fs/cgroup/pids", node.Name(), "shared", id)
	if _, err := os.Stat("/sys/fs/cgroup/pids"); err != nil {
		group = filepath.Join("/sys/fs/cgroup", node.Name(), "shared", id)
	}
	stranger := filepath.Join(filepath.Dir(group), strings.Repeat("cd", 32))
	for _, dir := range []string{group, stranger, filepath.Join(first.Root, "containers", id)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	first.KillDaemon()
	first.StartDaemon()
	waitFor(first, "the sweep", func() bool { _, err := os.Stat(group); return os.IsNotExist(err) })
	if err := os.Remove(stranger); err != nil {
		t.Errorf("a stranger's cgroup: %v", err)
	}
}

// An image that is removed while containers live goes with the last of them, also over a restart of the daemon.
func TestRemovedImageOverRestart(t *testing.T) {
	h := host.Start(t, host.Options{})
	layers := func() int {
		names, err := os.ReadDir(h.Root + "/images/layers")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	without := layers()
	image := ownImage(h)
	with := layers()
	pod := h.Pod()
	use := func(c *v1.ContainerConfig) { c.Image.Image = image }
	runs := h.Sleeper(pod, use)
	created := h.Create(pod, h.ContainerConfig([]string{"/bin/sh", "-c", "cat /only-here"}, use))
	if _, err := h.RawImg.RemoveImage(context.Background(), &v1.RemoveImageRequest{Image: &v1.ImageSpec{Image: image}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.KillDaemon()
		h.StartDaemon()
		if out := h.ExecOut(runs, "cat /only-here"); out != "text" {
			t.Errorf("after the restart: %q", out)
		}
	}
	if n := layers(); n != with {
		t.Errorf("%d layers, before %d", n, with)
	}
	h.StartContainer(created)
	s := h.WaitExit(created)
	if out, _ := h.Written(created); s.ExitCode != 0 || out != "text" {
		t.Errorf("the created one: exit code %d, %q", s.ExitCode, out)
	}
	h.RemoveContainer(created)
	if n := layers(); n != with {
		t.Errorf("%d layers while one container lives, before %d", n, with)
	}
	h.StopContainer(runs, 1)
	h.RemoveContainer(runs)
	waitFor(h, "the layers to go", func() bool { return layers() == without })
}

// ownImage pulls an image with a layer that no other one has, from a registry of the test's own; it names the image.
func ownImage(h *host.Host) string {
	h.Helper()
	image := registry.Build(registry.Config{Cmd: []string{"sh"}}, registry.BusyboxLayer(),
		registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "only-here", Type: tar.TypeReg, Mode: 0o644, Body: "text"}})))
	reg := registry.NewScripted()
	defer reg.Close()
	reg.Add("own/image", "v1", image)
	if _, err := h.RawImg.PullImage(context.Background(), &v1.PullImageRequest{Image: &v1.ImageSpec{Image: reg.Address + "/own/image:v1"}}); err != nil {
		h.Fatalf("pull: %v", err)
	}
	return image.ID()
}
