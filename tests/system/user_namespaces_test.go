package system

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

const mapBase, mapLength = 200000, 65536

func mapping() *v1.UserNamespace {
	ids := func() []*v1.IDMapping { return []*v1.IDMapping{{HostId: mapBase, ContainerId: 0, Length: mapLength}} }
	return &v1.UserNamespace{Mode: v1.NamespaceMode_POD, Uids: ids(), Gids: ids()}
}

func mappedPod(c *v1.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = mapping()
}

func mapped(c *v1.ContainerConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = mapping()
}

// unmasked gives a container /proc and /sys as they are, so that only its rights protect them.
func unmasked(c *v1.ContainerConfig) {
	c.Linux.SecurityContext.MaskedPaths, c.Linux.SecurityContext.ReadonlyPaths = nil, nil
}

// ownerOf is the user namespace that owns a namespace of a process.
func ownerOf(t *testing.T, pid int, name string) uint64 {
	t.Helper()
	const nsGetUserns = 0xb701 // NS_GET_USERNS
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.IoctlRetInt(int(file.Fd()), nsGetUserns)
	if err != nil {
		t.Fatalf("owner of %s: %v", name, err)
	}
	defer unix.Close(fd)
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		t.Fatal(err)
	}
	return info.Ino
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var info syscall.Stat_t
	if err := syscall.Stat(path, &info); err != nil {
		t.Fatal(err)
	}
	return info.Ino
}

// A pod's root is nobody on the node: all six namespaces are its user namespace's, it may set its network up, every file is
// its own inside and stored with the node's ids; execs are in it; daemon and keeper may die. With a pid namespace for each
// container and with a shared one, with all that the kernel offers and as on older ones.
func TestUserNamespace(t *testing.T) {
	const older = "[debug]\nkernel_features_off = [\"overlay_lowerdir_plus\", \"clone_detached_mount\", \"pidfd_exit_info\", \"proc_pidns\", \"cgroup_kill\"]\n"
	for name, c := range map[string]struct {
		mode   v1.NamespaceMode
		config string
	}{
		"own":          {v1.NamespaceMode_CONTAINER, ""},
		"shared":       {v1.NamespaceMode_POD, ""},
		"own, older":   {v1.NamespaceMode_CONTAINER, older},
		"shared,older": {v1.NamespaceMode_POD, older},
	} {
		t.Run(name, func(t *testing.T) { userNamespace(t, c.mode, c.config) })
	}
}

func userNamespace(t *testing.T, mode v1.NamespaceMode, config string) {
	h := host.Start(t, host.Options{Config: config})
	pod := h.Pod(mappedPod, podPid(mode))
	// The kernel asks for CAP_NET_ADMIN in the namespace's owner, also of its root.
	id := h.Run(pod, []string{"sleep", "987006"}, mapped, pid(mode), unmasked, func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.Capabilities = &v1.Capability{AddCapabilities: []string{"NET_ADMIN"}}
	})
	pids := pidsOf("sleep 987006")
	if len(pids) != 1 {
		t.Fatalf("the container's processes on the node: %v", pids)
	}
	user := inodeOf(t, fmt.Sprintf("/proc/%d/ns/user", pids[0]))
	if user == inodeOf(t, "/proc/self/ns/user") {
		t.Error("the container is in the node's user namespace")
	}
	for _, name := range []string{"net", "ipc", "uts", "mnt", "pid", "cgroup"} {
		if owner := ownerOf(t, pids[0], name); owner != user {
			t.Errorf("the %s namespace belongs to %d, the pod's is %d", name, owner, user)
		}
	}
	for script, want := range map[string]string{
		"cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '": fmt.Sprintf("0 %d %d\n 0 %d %d", mapBase, mapLength, mapBase, mapLength),
		"id -u; id -g": "0\n0",
		"stat -c %u:%g / /bin/busybox /etc/hosts /dev /dev/null /dev/shm /proc/self/ 2>&1 | sort -u": "0:0",
		"echo 1 > /proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward":                "1",
		"echo 1 2>/dev/null > /proc/sys/kernel/panic_on_oops || echo refused":                        "refused",
		"cat /proc/sys/net/ipv4/ip_unprivileged_port_start; hostname":                                "0\n" + pod.Config.Hostname,
		"echo hi > /dev/null && echo x > /dev/shm/mine && stat -c %u /dev/shm/mine":                  "0",
		"echo x > /made && mkdir -p /new/dir && stat -c %u /made /new/dir | sort -u":                 "0",
		"ls -d /sys/class/net/eth0 && ls /sys/fs/cgroup | wc -l | grep -vx 0 >/dev/null && echo ok":  "/sys/class/net/eth0\nok",
		"ping -c 1 -W 5 " + h.PodIP(pod) + " > /dev/null && echo pong":                               "pong",
		"ls /proc/self/fd | wc -l": "4",
	} {
		if got := h.ExecOut(id, script); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
	if !host.IsPeer() {
		upper := filepath.Join(h.Root, "containers", id, "upper")
		for _, path := range []string{upper, upper + "/made", upper + "/new/dir"} {
			var info syscall.Stat_t
			if err := syscall.Stat(path, &info); err != nil || info.Uid != mapBase || info.Gid != mapBase {
				t.Errorf("%s belongs to %d:%d on the node, %v", path, info.Uid, info.Gid, err)
			}
		}
		h.KillDaemon()
		h.StartDaemon()
		h.KillKeeper()
		waitFor(h, "an exec after the kills", func() bool {
			reply, err := h.Raw.ExecSync(short(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"readlink", "/proc/self/ns/user"}, Timeout: 30})
			return err == nil && strings.TrimSpace(string(reply.Stdout)) == fmt.Sprintf("user:[%d]", user)
		})
	}
	// Another user, who may write his own files and reopen his streams; by start, in the same namespaces.
	s, out, errText := h.Sh(pod, "id -u; echo out > /dev/stdout; echo x > /tmp/x && stat -c %u /tmp/x; readlink /proc/self/ns/user", mapped, pid(mode),
		func(c *v1.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &v1.Int64Value{Value: 1234} })
	if want := fmt.Sprintf("1234\nout\n1234\nuser:[%d]", user); s.ExitCode != 0 || out != want {
		t.Errorf("exit code %d, %q (%s), want %q", s.ExitCode, out, errText, want)
	}
	terminal := h.Run(pod, []string{"/bin/sh", "-c", "tty; stat -c %u:%g /dev/pts/0; exit 3"}, mapped, pid(mode),
		func(c *v1.ContainerConfig) { c.Tty = true })
	if s := h.WaitExit(terminal); s.ExitCode != 3 {
		t.Errorf("exit code %d with a terminal: %s", s.ExitCode, s.Message)
	}
	if out, _ := h.Written(terminal); strings.ReplaceAll(out, "\r", "") != "/dev/pts/0\n0:5" && strings.ReplaceAll(out, "\r", "") != "/dev/pts/0\n0:0" {
		t.Errorf("with a terminal: %q", out)
	}
	h.StopContainer(id, 0)
	h.RemovePod(pod.ID)
}

// With the node's network the pod has a user namespace all the same, and the node's /sys to read.
func TestUserNamespaceHostNetwork(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(host.HostNetwork, mappedPod)
	node := func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = v1.NamespaceMode_NODE
	}
	id := h.Sleeper(pod, mapped, node, unmasked)
	for script, want := range map[string]string{
		"readlink /proc/self/ns/net":                                         ownNamespace(t, "net"),
		"cut -c1-30 /proc/self/uid_map | awk '{print $2}'":                   fmt.Sprint(mapBase),
		"ls -d /sys/class/net/lo":                                            "/sys/class/net/lo",
		"echo x 2>/dev/null > /sys/kernel/uevent_helper || echo refused":     "refused",
		"echo 1 2>/dev/null > /proc/sys/net/ipv4/ip_forward || echo refused": "refused",
		"ls /sys/fs/cgroup | wc -l | grep -vx 0 >/dev/null && echo ok":       "ok",
	} {
		if got := h.ExecOut(id, script); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
	if _, out, _ := h.Sh(pod, "readlink /proc/self/ns/user", mapped, node); out == ownNamespace(t, "user") || !strings.HasPrefix(out, "user:[") {
		t.Errorf("the user namespace is %s", out)
	}
}

// Mappings that CRI does not allow, and what the kernel does not give to such a pod, are refused by name.
func TestUserNamespaceRefusals(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	two := []*v1.IDMapping{{HostId: mapBase, Length: 10}, {HostId: mapBase + 100, ContainerId: 10, Length: 10}}
	for name, c := range map[string]struct {
		edit  func(*v1.NamespaceOption)
		field string
	}{
		"two user mappings":  {func(o *v1.NamespaceOption) { o.UsernsOptions.Uids = two }, "userns_options.uids"},
		"two group mappings": {func(o *v1.NamespaceOption) { o.UsernsOptions.Gids = two }, "userns_options.gids"},
		"no mapping":         {func(o *v1.NamespaceOption) { o.UsernsOptions.Uids = nil }, "userns_options.uids"},
		"id 0 is not mapped": {func(o *v1.NamespaceOption) { o.UsernsOptions.Uids[0].ContainerId = 1 }, "userns_options.uids"},
		"group 0 is not":     {func(o *v1.NamespaceOption) { o.UsernsOptions.Gids[0].ContainerId = 1 }, "userns_options.gids"},
		"no ids":             {func(o *v1.NamespaceOption) { o.UsernsOptions.Uids[0].Length = 0 }, "userns_options"},
		"too many ids":       {func(o *v1.NamespaceOption) { o.UsernsOptions.Uids[0].Length = 1<<32 - 1 }, "userns_options"},
		"CONTAINER":          {func(o *v1.NamespaceOption) { o.UsernsOptions.Mode = v1.NamespaceMode_CONTAINER }, "userns_options.mode"},
		"TARGET":             {func(o *v1.NamespaceOption) { o.UsernsOptions.Mode = v1.NamespaceMode_TARGET }, "userns_options.mode"},
		"NODE with mappings": {func(o *v1.NamespaceOption) { o.UsernsOptions.Mode = v1.NamespaceMode_NODE }, "userns_options.uids"},
		"the node's pids":    {func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_NODE }, "userns_options.mode"},
		"the node's ipc":     {func(o *v1.NamespaceOption) { o.Ipc = v1.NamespaceMode_NODE }, "userns_options.mode"},
	} {
		_, err := h.TryPod(h.PodConfig(mappedPod, func(p *v1.PodSandboxConfig) { c.edit(p.Linux.SecurityContext.NamespaceOptions) }))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		h.WantCode(err, codes.InvalidArgument, c.field)
	}
	plain, withMap := h.Pod(), h.Pod(mappedPod)
	_, err := h.TryCreate(plain, h.ContainerConfig([]string{"true"}, mapped))
	h.WantCode(err, codes.InvalidArgument, "userns_options")
	_, err = h.TryCreate(withMap, h.ContainerConfig([]string{"true"}, mapped, func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions.UsernsOptions.Uids[0].HostId++
	}))
	h.WantCode(err, codes.InvalidArgument, "userns_options")
	_, err = h.TryCreate(withMap, h.ContainerConfig([]string{"true"}, pid(v1.NamespaceMode_NODE)))
	h.WantCode(err, codes.InvalidArgument, "namespace_options.pid")
}

// Status says what the kernel can, and a kernel that cannot refuses such a pod.
func TestUserNamespaceFeature(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	for config, want := range map[string]bool{"": true, "[debug]\nkernel_features_off = [\"user_namespaces\"]\n": false} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			h := host.Start(t, host.Options{Config: config})
			reply, err := h.Raw.Status(context.Background(), &v1.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if got := reply.GetFeatures().GetUserNamespacesHostNetwork(); got != want {
				t.Errorf("with the host's network: %v", got)
			}
			if len(reply.RuntimeHandlers) == 0 {
				t.Error("no handler")
			}
			for _, handler := range reply.RuntimeHandlers {
				if got := handler.GetFeatures().GetUserNamespaces(); got != want {
					t.Errorf("handler %q: %v", handler.Name, got)
				}
			}
			_, err = h.TryPod(h.PodConfig(mappedPod))
			if want && err != nil {
				t.Error(err)
			}
			if !want {
				h.WantCode(err, codes.InvalidArgument, "userns_options")
			}
		})
	}
}

// Volumes with the pod's mappings, a folder and a tmpfs: what belongs to root on the node is the container's root's, and what
// that writes belongs to root on the node.
func TestUserNamespaceVolumes(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder, memory := h.Folder+"/volume", h.Folder+"/memory"
	for _, dir := range []string{folder, memory} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("tmpfs", memory, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount(memory, syscall.MNT_DETACH)
	pod := h.Pod(mappedPod)
	volumes := func(c *v1.ContainerConfig) {
		for _, dir := range []string{folder, memory} {
			c.Mounts = append(c.Mounts, &v1.Mount{HostPath: dir, ContainerPath: "/v" + filepath.Base(dir),
				UidMappings: mapping().Uids, GidMappings: mapping().Gids})
		}
	}
	script := "for v in /vvolume /vmemory; do echo x > $v/file && stat -c %u:%g $v $v/file; done"
	s, out, errText := h.Sh(pod, script, mapped, volumes)
	if want := "0:0\n0:0\n0:0\n0:0"; s.ExitCode != 0 || out != want {
		t.Errorf("exit code %d, %q (%s), want %q", s.ExitCode, out, errText, want)
	}
	for _, dir := range []string{folder, memory} {
		var info syscall.Stat_t
		if err := syscall.Stat(dir+"/file", &info); err != nil || info.Uid != 0 || info.Gid != 0 {
			t.Errorf("%s/file belongs to %d:%d on the node, %v", dir, info.Uid, info.Gid, err)
		}
	}
}

// An image as a volume: what belongs to root in the image is the container's root's, whether the mount has the mappings or not; a
// sub path too, with one layer and with two, and on older kernels.
func TestUserNamespaceImageVolume(t *testing.T) {
	for name, config := range map[string]string{"newer": "", "older": "[debug]\nkernel_features_off = [\"overlay_lowerdir_plus\", \"clone_detached_mount\"]\n"} {
		t.Run(name, func(t *testing.T) {
			h := host.Start(t, host.Options{Config: config})
			reg := registry.NewScripted()
			defer reg.Close()
			first := registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "dir/", Type: tar.TypeDir}, {Name: "dir/file", Body: "first", Mode: 0o600}, {Name: "theirs", Body: "x", Uid: 5, Gid: 7}}))
			second := registry.GzipLayer(registry.Tar([]registry.Entry{{Name: "dir/file", Body: "second", Mode: 0o600}}))
			one, two := pullScripted(t, h, reg, "mapped/one", first), pullScripted(t, h, reg, "mapped/two", first, second)
			volume := func(ref, path, sub string, ids []*v1.IDMapping) *v1.Mount {
				return &v1.Mount{Image: &v1.ImageSpec{Image: ref}, ContainerPath: path, ImageSubPath: sub, Readonly: true, UidMappings: ids, GidMappings: ids}
			}
			s, out, errText := h.Sh(h.Pod(mappedPod), "cat /one/dir/file /two/dir/file /sub/file; stat -c %u:%g /one /one/dir/file /two/theirs /sub/file; touch /one/x 2>/dev/null || echo read-only", mapped,
				mounting(volume(one, "/one", "", mapping().Uids), volume(two, "/two", "", nil), volume(two, "/sub", "dir", mapping().Uids)))
			if want := "firstsecondsecond0:0\n0:0\n5:7\n0:0\nread-only"; s.ExitCode != 0 || out != want {
				t.Errorf("exit code %d, %q (%s), want %q", s.ExitCode, out, errText, want)
			}
			// Without a user namespace the mappings show as they are asked for.
			if _, out, errText := h.Sh(h.Pod(), "stat -c %u:%g /one/theirs", mounting(volume(one, "/one", "", mapping().Uids))); out != "200005:200007" {
				t.Errorf("%q (%s)", out, errText)
			}
		})
	}
}
