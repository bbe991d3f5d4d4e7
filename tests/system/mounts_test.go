package system

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

func privilegedPod(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }
func privileged(c *v1.ContainerConfig)     { c.Linux.SecurityContext.Privileged = true }

func mounting(mounts ...*v1.Mount) host.Container {
	return func(c *v1.ContainerConfig) { c.Mounts = append(c.Mounts, mounts...) }
}

// tmpfs mounts one below the test's folder; gone with the test.
func tmpfs(t *testing.T, path string) string {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatalf("mount tmpfs on %s: %v", path, err)
	}
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Mounts made later on the host are seen with HOST_TO_CONTAINER and BIDIRECTIONAL, those made in the container only with
// BIDIRECTIONAL; the status shows exactly what was asked for.
func TestMountPropagation(t *testing.T) {
	h := host.Start(t, host.Options{NoLeak: true}) // mounts come and go on the host by the test's will
	pod := h.Pod(privilegedPod)
	for _, c := range []struct {
		mode           v1.MountPropagation
		inside, onHost bool
	}{{v1.MountPropagation_PROPAGATION_PRIVATE, false, false}, {v1.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, true, false},
		{v1.MountPropagation_PROPAGATION_BIDIRECTIONAL, true, true}} {
		volume := tmpfs(t, fmt.Sprintf("%s/volume-%d", h.Folder, c.mode))
		os.Mkdir(volume+"/host", 0o755)
		os.Mkdir(volume+"/container", 0o755)
		id := h.Sleeper(pod, privileged, mounting(&v1.Mount{HostPath: volume, ContainerPath: "/volume", Propagation: c.mode}))
		write(t, tmpfs(t, volume+"/host")+"/file", "x")
		_, _, code := h.Exec(id, "test", "-e", "/volume/host/file")
		if (code == 0) != c.inside {
			t.Errorf("%v: the host's mount is seen inside: %v", c.mode, code == 0)
		}
		h.ExecOut(id, "mount -t tmpfs none /volume/container && echo x > /volume/container/file")
		_, err := os.Stat(volume + "/container/file")
		if (err == nil) != c.onHost {
			t.Errorf("%v: the container's mount is seen on the host: %v", c.mode, err == nil)
		}
		mounts := h.Status(id).Mounts
		if len(mounts) != 1 || mounts[0].HostPath != volume || mounts[0].ContainerPath != "/volume" || mounts[0].Readonly ||
			mounts[0].SelinuxRelabel || mounts[0].Propagation != c.mode {
			t.Errorf("%v: the status says %v", c.mode, mounts)
		}
		h.RemoveContainer(id)
		unix.Unmount(volume+"/container", unix.MNT_DETACH)
	}
}

// Propagation from a mount that propagates nothing is refused.
func TestMountPropagationRefused(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(privilegedPod)
	alone, slave := tmpfs(t, h.Folder+"/alone"), tmpfs(t, h.Folder+"/slave")
	unix.Mount("", alone, "", unix.MS_PRIVATE, "")
	unix.Mount("", slave, "", unix.MS_SLAVE, "")
	try := func(path string, mode v1.MountPropagation) error {
		id, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, privileged, mounting(&v1.Mount{HostPath: path, ContainerPath: "/v", Propagation: mode})))
		if err == nil {
			h.RemoveContainer(id)
		}
		return err
	}
	h.WantCode(try(alone, v1.MountPropagation_PROPAGATION_HOST_TO_CONTAINER), codes.InvalidArgument, "mounts.propagation", alone)
	h.WantCode(try(alone, v1.MountPropagation_PROPAGATION_BIDIRECTIONAL), codes.InvalidArgument, "mounts.propagation", alone)
	h.WantCode(try(slave, v1.MountPropagation_PROPAGATION_BIDIRECTIONAL), codes.InvalidArgument, "mounts.propagation", slave)
	if err := try(alone, v1.MountPropagation_PROPAGATION_PRIVATE); err != nil {
		t.Errorf("private: %v", err)
	}
}

// Read-only is the top mount's alone, recursive read-only all that lies below; the node says that it can.
func TestRecursiveReadonly(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	volume := tmpfs(t, h.Folder+"/volume")
	tmpfs(t, volume+"/below")
	for _, recursive := range []bool{false, true} {
		id := h.Sleeper(pod, mounting(&v1.Mount{HostPath: volume, ContainerPath: "/v", Readonly: true, RecursiveReadOnly: recursive}))
		if _, _, code := h.Exec(id, "sh", "-c", "echo x > /v/x"); code == 0 {
			t.Errorf("recursive %v: the top is writable", recursive)
		}
		if _, _, code := h.Exec(id, "sh", "-c", "echo x > /v/below/x"); (code == 0) == recursive {
			t.Errorf("recursive %v: writing below ends with %d", recursive, code)
		}
		h.RemoveContainer(id)
	}
	status, err := h.Raw.Status(context.Background(), &v1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, handler := range status.RuntimeHandlers {
		if !handler.GetFeatures().GetRecursiveReadOnlyMounts() {
			t.Errorf("handler %q does not say recursive_read_only_mounts", handler.Name)
		}
	}
	if len(status.RuntimeHandlers) == 0 || !status.GetFeatures().GetMountOptions() {
		t.Errorf("status: %v", status)
	}
}

// noexec, nodev and nosuid are in force, each alone.
func TestMountOptions(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	volume := tmpfs(t, h.Folder+"/volume")
	write(t, volume+"/program", "#!/bin/sh\necho ran\n")
	unix.Mknod(volume+"/zero", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))
	run := func(options ...string) (program, device, suid bool) {
		id := h.Sleeper(pod, mounting(&v1.Mount{HostPath: volume, ContainerPath: "/v", MountOptions: options}))
		defer h.RemoveContainer(id)
		_, _, a := h.Exec(id, "sh", "-c", "/v/program")
		_, _, b := h.Exec(id, "head", "-c", "1", "/v/zero")
		return a == 0, b == 0, !strings.Contains(h.ExecOut(id, "grep ' /v ' /proc/self/mountinfo"), "nosuid")
	}
	for _, c := range []struct {
		options               []string
		program, device, suid bool
	}{{nil, true, true, true}, {[]string{"noexec"}, false, true, true}, {[]string{"nodev"}, true, false, true},
		{[]string{"nosuid"}, true, true, false}, {[]string{"nosuid", "nodev", "noexec"}, false, false, false}} {
		if program, device, suid := run(c.options...); program != c.program || device != c.device || suid != c.suid {
			t.Errorf("%v: programs %v, devices %v, set-user-id %v", c.options, program, device, suid)
		}
	}
}

// What a host path may be: a link, a file, a tmpfs, missing (a folder is made), a dangling link (an error).
func TestMountSources(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	memory := tmpfs(t, h.Folder+"/memory")
	write(t, memory+"/file", "content")
	os.Symlink(memory+"/file", h.Folder+"/to-file")
	os.Symlink(h.Folder+"/nowhere", h.Folder+"/dangling")
	id := h.Sleeper(pod, mounting(&v1.Mount{HostPath: memory, ContainerPath: "/memory"}, &v1.Mount{HostPath: h.Folder + "/to-file", ContainerPath: "/opt/a/file"},
		&v1.Mount{HostPath: h.Folder + "/missing/folder", ContainerPath: "/missing"}, &v1.Mount{HostPath: h.Folder, ContainerPath: "/memory/below"}))
	if got := h.ExecOut(id, "cat /memory/file /opt/a/file; test -d /memory/below/memory && stat -c %a /missing"); got != "contentcontent755" {
		t.Errorf("%q", got)
	}
	h.RemoveContainer(id)
	if info, err := os.Stat(h.Folder + "/missing/folder"); err != nil || !info.IsDir() {
		t.Errorf("the missing host path was not made: %v", err)
	}
	if _, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, mounting(&v1.Mount{HostPath: h.Folder + "/dangling", ContainerPath: "/d"}))); err == nil ||
		!strings.Contains(err.Error(), "dangling") {
		t.Errorf("a dangling link: %v", err)
	}
}

// What node agents do: mounts over /sys and below, over /proc and, privileged, below. Masks still lie on top (S2).
func TestMountsOnKernelTrees(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(privilegedPod)
	memory := tmpfs(t, h.Folder+"/memory")
	write(t, memory+"/file", "content")
	os.Mkdir(memory+"/folder", 0o755)
	os.Symlink("/proc/sys", memory+"/link")

	agent := h.Sleeper(pod, privileged, mounting(&v1.Mount{HostPath: "/sys/fs/cgroup", ContainerPath: "/sys/fs/cgroup"},
		&v1.Mount{HostPath: memory, ContainerPath: "/sys/kernel"}, &v1.Mount{HostPath: "/proc/sys", ContainerPath: "/proc/sys"},
		&v1.Mount{HostPath: "/proc", ContainerPath: "/host/proc", Readonly: true}, &v1.Mount{HostPath: memory, ContainerPath: "/sys/kernel/folder"}))
	h.ExecOut(agent, "cat /sys/kernel/file /sys/kernel/folder/file /host/proc/1/comm")
	if groups, cgroups := h.ExecOut(agent, "ls /sys/fs/cgroup"), list("/sys/fs/cgroup"); groups != cgroups {
		t.Errorf("/sys/fs/cgroup is %q, on the host %q", groups, cgroups)
	}
	exporter := h.Sleeper(pod, mounting(&v1.Mount{HostPath: "/sys", ContainerPath: "/sys", Readonly: true}, &v1.Mount{HostPath: memory + "/file", ContainerPath: "/proc/meminfo"}))
	if got := h.ExecOut(exporter, "cat /proc/meminfo; ls /sys/firmware | wc -l; ls -d /sys/class/net"); got != "content0\n/sys/class/net" {
		t.Errorf("%q", got)
	}
	viewer := h.Sleeper(pod, mounting(&v1.Mount{HostPath: "/proc", ContainerPath: "/proc"}))
	if got := h.ExecOut(viewer, "cat /proc/1/comm; wc -c < /proc/keys; grep -c ' /proc/sys proc ro' /proc/self/mounts"); !strings.Contains(got, "\n0\n") {
		t.Errorf("the host's /proc: %q", got)
	}

	for _, c := range []struct {
		what, from, to string
		edits          []host.Container
		atStart        bool
	}{
		{"a folder as /proc", memory, "/proc", []host.Container{privileged}, false},
		{"a process's labels", memory, "/proc/1/attr", []host.Container{privileged}, false},
		{"our own labels", memory, "/proc/self/attr", []host.Container{privileged}, false},
		{"our thread", memory, "/proc/thread-self", []host.Container{privileged}, false},
		{"/proc/sys, unprivileged", "/proc/sys", "/proc/sys", nil, false},
		{"the masked keys", memory + "/file", "/proc/keys", nil, false},
		{"what is not there", memory, "/sys/no-such-thing", []host.Container{privileged}, true},
		{"through a link of /sys", memory, "/sys/class/net/lo/device", []host.Container{privileged}, true},
		{"through a link of a volume", memory, "/sys/kernel/link", []host.Container{privileged, mounting(&v1.Mount{HostPath: memory, ContainerPath: "/sys/kernel"})}, true},
	} {
		id, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, append(c.edits, mounting(&v1.Mount{HostPath: c.from, ContainerPath: c.to}))...))
		if err == nil {
			if !c.atStart {
				t.Errorf("%s: created", c.what)
			}
			err = h.TryStart(id)
			h.RemoveContainer(id)
		}
		if err == nil || !strings.Contains(err.Error(), c.to) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func list(path string) string {
	var names []string
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, "\n")
}

func pullScripted(t *testing.T, h *host.Host, reg *registry.Scripted, name string, layers ...registry.Layer) string {
	t.Helper()
	reg.Add(name, "v1", registry.Build(registry.Config{}, layers...))
	if _, err := pull(h, reg.Address+"/"+name+":v1"); err != nil {
		t.Fatal(err)
	}
	return reg.Address + "/" + name + ":v1"
}

// An image as a volume: read-only, without programs, from a sub path if asked; its digest in the status; kept while in use,
// over a restart of the daemon too.
func TestImageVolume(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	pod := h.Pod()
	first := registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "dir/", Type: tar.TypeDir}, {Name: "dir/file", Body: "first"}, {Name: "program", Body: "#!/bin/sh\n", Mode: 0o755},
		{Name: "link", Type: tar.TypeSymlink, Link: "/dir"}, {Name: "out", Type: tar.TypeSymlink, Link: "../../../../../etc"}}))
	second := registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "dir/file", Body: "second"}, {Name: ".wh.program"}}))
	one, two := pullScripted(t, h, reg, "volume/one", first), pullScripted(t, h, reg, "volume/two", first, second)
	volume := func(ref, path, sub string) *v1.Mount {
		return &v1.Mount{Image: &v1.ImageSpec{Image: ref}, ContainerPath: path, ImageSubPath: sub, Readonly: true}
	}
	id := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}, mounting(volume(one, "/one", ""), volume(two, "/two", ""), volume(two, "/sub", "dir"),
		volume(one, "/linked", "link/file"))))
	h.KillDaemon()
	h.StartDaemon()
	for _, ref := range []string{one, two} { // in use: the layers stay
		if _, err := h.RawImg.RemoveImage(context.Background(), &v1.RemoveImageRequest{Image: &v1.ImageSpec{Image: ref}}); err != nil {
			t.Fatal(err)
		}
	}
	h.StartContainer(id)
	if got := h.ExecOut(id, "echo $(cat /one/dir/file /two/dir/file /sub/file /linked; ls /one /two)"); got != "firstsecondsecondfirstdir link out program dir link out" &&
		strings.Join(strings.Fields(got), " ") != "firstsecondsecondfirst/one: dir link out program /two: dir link out" {
		t.Errorf("%q", got)
	}
	for _, script := range []string{"echo x > /one/new", "echo x > /two/dir/file", "touch /sub/new", "/one/program", "mount -o remount,rw /one"} {
		if out, _, code := h.Exec(id, "sh", "-c", script); code == 0 {
			t.Errorf("%q: allowed (%s)", script, out)
		}
	}
	mounts := h.Status(id).Mounts
	if len(mounts) != 4 || !strings.Contains(mounts[0].GetImage().GetImageRef(), "volume/one@sha256:") || !strings.Contains(mounts[2].GetImage().GetImageRef(), "volume/two@sha256:") {
		t.Errorf("status: %v", mounts)
	}
}

// What an image volume cannot be; where the kubelet looks for it, the error begins with ImageVolumeMountFailed.
func TestImageVolumeRefused(t *testing.T) {
	h := host.Start(t, host.Options{})
	reg := registry.NewScripted()
	defer reg.Close()
	pod := h.Pod()
	image := pullScripted(t, h, reg, "volume/image", registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "file", Body: "x"},
		{Name: "out", Type: tar.TypeSymlink, Link: "../../../../../../" + h.Folder}, {Name: "magic", Type: tar.TypeSymlink, Link: "/proc/self/root"}})))
	for what, c := range map[string]struct {
		edit func(*v1.Mount)
		code codes.Code
		text string
	}{
		"writable":      {func(m *v1.Mount) { m.Readonly = false }, codes.InvalidArgument, "mounts.readonly"},
		"host path":     {func(m *v1.Mount) { m.HostPath = "/tmp" }, codes.InvalidArgument, "mounts.host_path"},
		"propagation":   {func(m *v1.Mount) { m.Propagation = 1 }, codes.InvalidArgument, "mounts.propagation"},
		"dots":          {func(m *v1.Mount) { m.ImageSubPath = "../x" }, codes.InvalidArgument, "mounts.image_sub_path"},
		"absolute":      {func(m *v1.Mount) { m.ImageSubPath = "/file" }, codes.InvalidArgument, "mounts.image_sub_path"},
		"missing":       {func(m *v1.Mount) { m.ImageSubPath = "no/such" }, codes.NotFound, "ImageVolumeMountFailed: "},
		"a link out":    {func(m *v1.Mount) { m.ImageSubPath = "out" }, codes.NotFound, "ImageVolumeMountFailed: "},
		"a magic link":  {func(m *v1.Mount) { m.ImageSubPath = "magic" }, codes.NotFound, "ImageVolumeMountFailed: "},
		"unknown image": {func(m *v1.Mount) { m.Image.Image = "no.such/image:v1" }, codes.NotFound, "ImageVolumeMountFailed: "},
		"no image":      {func(m *v1.Mount) { m.Image, m.HostPath, m.ImageSubPath = nil, "/tmp", "x" }, codes.InvalidArgument, "mounts.image_sub_path"},
	} {
		mount := &v1.Mount{Image: &v1.ImageSpec{Image: image}, ContainerPath: "/v", Readonly: true}
		c.edit(mount)
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, mounting(mount)))
		if err == nil {
			t.Errorf("%s: created", what)
			continue
		}
		h.WantCode(err, c.code, c.text)
	}
}

// A volume whose owners are shifted: what is 5 on disk is 200005 to the kernel.
func TestIdMappedMount(t *testing.T) {
	h := host.Start(t, host.Options{})
	volume := h.Folder + "/volume"
	os.Mkdir(volume, 0o755)
	os.Chown(write(t, volume+"/file", "x"), 5, 7)
	mount := &v1.Mount{HostPath: volume, ContainerPath: "/v", UidMappings: []*v1.IDMapping{{HostId: 200000, Length: 65536}},
		GidMappings: []*v1.IDMapping{{HostId: 300000, Length: 65536}}}
	pod := h.Pod()
	if got := h.ExecOut(h.Sleeper(pod, mounting(mount)), "stat -c '%u %g' /v/file"); got != "200005 300007" {
		t.Errorf("owners %q", got)
	}
	mount.HostPath = "/proc"
	_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, mounting(mount)))
	h.WantCode(err, codes.FailedPrecondition, "id-mapped")
}

// A creation that fails at any of its steps leaves nothing: no folder, no cgroup, no mount, no descriptor, no name.
func TestFailedCreateLeavesNothing(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	good := h.Sleeper(pod) // what stands must go on standing
	os.Symlink(h.Folder+"/nowhere", h.Folder+"/dangling")
	fine := &v1.Mount{HostPath: h.Folder, ContainerPath: "/a"}
	before := list(h.Root + "/containers")
	steps := map[string]host.Container{
		"image":       func(c *v1.ContainerConfig) { c.Image.Image = "no.such/image:v1" },
		"translation": mounting(fine, &v1.Mount{HostPath: h.Folder, ContainerPath: "relative"}),
		"user":        func(c *v1.ContainerConfig) { c.Linux.SecurityContext.RunAsUsername = "nobody-of-that-name" },
		"limits":      func(c *v1.ContainerConfig) { c.Linux.Resources = &v1.LinuxContainerResources{CpusetCpus: "4000"} },
		"device": func(c *v1.ContainerConfig) {
			c.Devices = []*v1.Device{{HostPath: "/dev/no-such", ContainerPath: "/dev/x", Permissions: "r"}}
		},
		"CDI":          func(c *v1.ContainerConfig) { c.CDIDevices = []*v1.CDIDevice{{Name: "no.such/device=1"}} },
		"last mount":   mounting(fine, &v1.Mount{HostPath: h.Folder, ContainerPath: "/b"}, &v1.Mount{HostPath: h.Folder + "/dangling", ContainerPath: "/c"}),
		"image volume": mounting(fine, &v1.Mount{Image: &v1.ImageSpec{Image: h.Image}, ContainerPath: "/v", Readonly: true, ImageSubPath: "no/such"}),
		"id mapping":   mounting(fine, &v1.Mount{HostPath: "/proc", ContainerPath: "/v", UidMappings: []*v1.IDMapping{{Length: 1}}, GidMappings: []*v1.IDMapping{{Length: 1}}}),
	}
	for step, edit := range steps {
		for i := 0; i < 3; i++ {
			config := h.ContainerConfig([]string{"true"}, edit)
			if id, err := h.TryCreate(pod, config); err == nil {
				t.Errorf("%s: created %s", step, id)
			}
			if now := list(h.Root + "/containers"); now != before {
				t.Fatalf("%s: folders %q, before %q", step, now, before)
			}
		}
	}
	h.ExecOut(good, "true")
	// The leak check at the end compares cgroups, mounts, descriptors and processes.
}

// The default mounts need no entry in the container's own layer; what it writes beside them goes there.
func TestDefaultMountsLeaveTheLayerEmpty(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	upper := filepath.Join(h.Root, "containers", id, "upper")
	if entries, err := os.ReadDir(upper); err != nil || len(entries) != 0 {
		t.Errorf("a container that wrote nothing has %v in its layer, %v", entries, err)
	}
	if got := h.ExecOut(id, "grep -c . /etc/hosts; echo x > /etc/mine; ls /etc | grep -c '^hosts$'; cat /etc/mine"); !strings.HasSuffix(got, "\n1\nx") {
		t.Errorf("/etc: %q", got)
	}
	if text, err := os.ReadFile(upper + "/etc/mine"); err != nil || string(text) != "x\n" {
		t.Errorf("its own file: %q, %v", text, err)
	}
}
