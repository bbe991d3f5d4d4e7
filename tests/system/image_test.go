package system

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

func pull(h *host.Host, ref string) (string, error) {
	reply, err := h.RawImg.PullImage(context.Background(), &v1.PullImageRequest{Image: &v1.ImageSpec{Image: ref}})
	return reply.GetImageRef(), err
}

func find(h *host.Host, ref string) *v1.Image {
	h.Helper()
	reply, err := h.RawImg.ImageStatus(context.Background(), &v1.ImageStatusRequest{Image: &v1.ImageSpec{Image: ref}})
	if err != nil {
		h.Fatalf("ImageStatus %s: %v", ref, err)
	}
	return reply.Image
}

// From Debian's docker-registry, by tag, by digest and without a tag: one id everywhere, and the image runs.
func TestPullByTagAndDigest(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.Shared(t)
	image := registry.Busybox(func(c *registry.Config) { c.Labels = map[string]string{"made": "for " + t.Name()} })
	if err := reg.Push("pull/plain", "v1", image); err != nil {
		t.Fatal(err)
	}
	if err := reg.Push("pull/plain", "latest", image); err != nil {
		t.Fatal(err)
	}
	tag, digest := reg.Address+"/pull/plain:v1", reg.Address+"/pull/plain@"+image.Digest()
	for _, ref := range []string{tag, digest, reg.Address + "/pull/plain"} {
		id, err := pull(h, ref)
		if err != nil || id != image.ID() {
			t.Errorf("pull %s: %q, %v, want %s", ref, id, err, image.ID())
		}
	}
	for _, ref := range []string{tag, digest, image.ID(), strings.TrimPrefix(image.ID(), "sha256:")} {
		got := find(h, ref)
		if got == nil || got.Id != image.ID() || got.Size == 0 {
			t.Errorf("status by %s: %v", ref, got)
			continue
		}
		if !sameSet(got.RepoTags, []string{tag, reg.Address + "/pull/plain:latest"}) || !sameSet(got.RepoDigests, []string{digest}) {
			t.Errorf("tags %v, digests %v", got.RepoTags, got.RepoDigests)
		}
	}
	s, out, _ := h.Sh(h.Pod(), "echo it runs", func(c *v1.ContainerConfig) { c.Image.Image = image.ID() })
	if out != "it runs" || s.ImageRef == "" || (s.ImageId != "" && s.ImageId != image.ID()) {
		t.Errorf("%q, image ref %q, image id %q", out, s.ImageRef, s.ImageId)
	}
	list, err := h.RawImg.ListImages(context.Background(), &v1.ListImagesRequest{Filter: &v1.ImageFilter{Image: &v1.ImageSpec{Image: tag}}})
	if err != nil || len(list.Images) != 1 || list.Images[0].Id != image.ID() {
		t.Errorf("filtered list %v, %v", list, err)
	}
}

// Every kind of manifest and layer, and the choice of platform.
func TestImageKinds(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.Shared(t)
	tarball := registry.Tar(registry.BusyboxEntries())
	mark := registry.Tar([]registry.Entry{{Name: "mark", Body: "here"}, {Name: "bin/.wh.arch"}})
	config := registry.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}
	plain := registry.Build(config, registry.PlainLayer(tarball), registry.GzipLayer(mark))
	zstd := registry.Build(config, registry.ZstdLayer(tarball), registry.ZstdLayer(mark))
	docker := registry.BuildDocker(config, registry.GzipLayer(tarball), registry.GzipLayer(mark))
	for name, image := range map[string]*registry.Image{"plain": plain, "zstd": zstd, "docker": docker} {
		if err := reg.Push("kinds/"+name, "v1", image); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := reg.Push("kinds/index", "", zstd); err != nil {
		t.Fatal(err)
	}
	scripted := registry.NewScripted() // an index may name platforms that the registry does not hold
	defer scripted.Close()
	scripted.Add("kinds/index", "v0", zstd)
	scripted.SetManifest("kinds/index", "v1", registry.OCIIndex, registry.Index(registry.OCIIndex, zstd, "arm64", "s390x"))
	scripted.Add("kinds/list", "v0", docker)
	scripted.SetManifest("kinds/list", "v1", registry.DockerList, registry.Index(registry.DockerList, docker, "arm64"))
	pod := h.Pod()
	for _, ref := range []string{reg.Address + "/kinds/plain:v1", reg.Address + "/kinds/zstd:v1", reg.Address + "/kinds/docker:v1",
		scripted.Address + "/kinds/index:v1", scripted.Address + "/kinds/list:v1"} {
		if _, err := pull(h, ref); err != nil {
			t.Errorf("pull %s: %v", ref, err)
			continue
		}
		_, out, errText := h.Sh(pod, "cat /mark; test -e /bin/arch || echo ' gone'", func(c *v1.ContainerConfig) { c.Image.Image = ref })
		if out != "here gone" {
			t.Errorf("%s: %q %q", ref, out, errText)
		}
	}
}

// The user of the image, as number or name; entrypoint and command rules; working directory; environment.
func TestImageConfig(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.Shared(t)
	image := registry.Busybox(func(c *registry.Config) {
		c.User, c.WorkingDir, c.Env = "app:extra", "/var/log", []string{"PATH=/bin", "FROM=image", "BOTH=image"}
		c.Entrypoint, c.Cmd = []string{"echo", "entry"}, []string{"command"}
	})
	if err := reg.Push("config/full", "v1", image); err != nil {
		t.Fatal(err)
	}
	ref := reg.Address + "/config/full:v1"
	if _, err := pull(h, ref); err != nil {
		t.Fatal(err)
	}
	if got := find(h, ref); got.Username != "app" && got.GetUid().GetValue() != 1000 {
		t.Errorf("user %q, uid %v", got.Username, got.Uid)
	}
	pod := h.Pod()
	use := func(command, args []string) string {
		id := h.Run(pod, command, func(c *v1.ContainerConfig) { c.Image.Image, c.Args = ref, args })
		h.WaitExit(id)
		out, errText := h.Written(id)
		return out + errText
	}
	for _, c := range []struct {
		command, args []string
		want          string
	}{
		{nil, nil, "entry command"}, {nil, []string{"args"}, "entry args"}, {[]string{"echo", "other"}, nil, "other"},
		{[]string{"echo", "other"}, []string{"args"}, "other args"},
		{[]string{"sh", "-c", "id -un; id -gn; pwd; echo $FROM"}, nil, "app\nextra\n/var/log\nimage"},
	} {
		if got := use(c.command, c.args); got != c.want {
			t.Errorf("command %q, args %q: %q, want %q", c.command, c.args, got, c.want)
		}
	}
}

// RemoveImage by any name removes all; twice is fine; a running container keeps its files.
func TestRemoveImage(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.Shared(t)
	image := registry.Busybox(func(c *registry.Config) { c.Labels = map[string]string{"made": "for " + t.Name()} })
	for _, tag := range []string{"a", "b"} {
		if err := reg.Push("remove/it", tag, image); err != nil {
			t.Fatal(err)
		}
		if _, err := pull(h, reg.Address+"/remove/it:"+tag); err != nil {
			t.Fatal(err)
		}
	}
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) { c.Image.Image = reg.Address + "/remove/it:a" })
	for range 2 {
		_, err := h.RawImg.RemoveImage(context.Background(), &v1.RemoveImageRequest{Image: &v1.ImageSpec{Image: reg.Address + "/remove/it:a"}})
		if err != nil {
			t.Error(err)
		}
	}
	if find(h, image.ID()) != nil || find(h, reg.Address+"/remove/it:b") != nil {
		t.Error("the image is still there")
	}
	h.ExecOut(id, "ls /bin/busybox")
	usage, err := h.RawImg.ImageFsInfo(context.Background(), &v1.ImageFsInfoRequest{})
	if err != nil || len(usage.ImageFilesystems) == 0 || usage.ImageFilesystems[0].Timestamp == 0 {
		t.Errorf("ImageFsInfo %v, %v", usage, err)
	}
}

// Nobody listens, no such image, no such tag: each says so, and the kubelet's prefix is there.
func TestPullFailures(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.Shared(t)
	_, err := pull(h, "127.0.0.1:1/any/thing:v1")
	h.WantCode(err, codes.Unknown, "RegistryUnavailable:")
	for _, ref := range []string{reg.Address + "/no/such:v1", reg.Address + "/busybox:no-such-tag", reg.Address + "/busybox@sha256:" + strings.Repeat("0", 64)} {
		if _, err := pull(h, ref); err == nil || status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "no") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, ref := range []string{"", "UPPER/case:v1", reg.Address + "/a@sha256:../../x", "a b", "../etc/passwd"} {
		if _, err := pull(h, ref); err == nil {
			t.Errorf("%q was accepted", ref)
		}
	}
	if _, err := h.Images.PullImage(context.Background(), &v1.ImageSpec{Image: "127.0.0.1:1/x:y"}, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "RegistryUnavailable:") {
		t.Errorf("through the kubelet's client: %v", err)
	}
}
