package security

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const (
	containerT = "system_u:system_r:container_t:"
	fileT      = "system_u:object_r:container_file_t:"
)

func selinux(options *v1.SELinuxOption) host.Container {
	return edit(func(s *v1.LinuxContainerSecurityContext) { s.SelinuxOptions = options })
}

func podSelinux(options *v1.SELinuxOption) host.Sandbox {
	return func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.SelinuxOptions = options }
}

// processLabels are those of the first process and of an exec.
func processLabels(h *host.Host, id string) (first, exec string) {
	h.Helper()
	return strings.TrimRight(h.ExecOut(id, "cat /proc/1/attr/current"), "\x00"), strings.TrimRight(h.ExecOut(id, "cat /proc/self/attr/current"), "\x00")
}

func checkLabels(h *host.Host, what, id, want string) {
	h.Helper()
	if first, exec := processLabels(h, id); first != want || exec != want {
		h.Errorf("%s: first process %q, exec %q, want %q", what, first, exec, want)
	}
}

// rootOf is the container's root as the host sees it.
func rootOf(h *host.Host, id string) string {
	h.Helper()
	reply, err := h.Raw.ContainerStatus(context.Background(), &v1.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		h.Fatal(err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(reply.Info["info"]), &info); err != nil || info.Pid == 0 {
		h.Fatalf("no pid in %v: %v", reply.Info, err)
	}
	return fmt.Sprintf("/proc/%d/root", info.Pid)
}

// Where the kernel has no SELinux the options have no effect: the same manifests run everywhere. What could not be a label is
// refused all the same, and Status says how it is.
func TestSelinuxOptionsWithoutSelinux(t *testing.T) {
	if hasSelinux() {
		t.Skip("this kernel has SELinux")
	}
	h := host.Start(t, host.Options{})
	options := &v1.SELinuxOption{User: "system_u", Role: "system_r", Type: "container_t", Level: "s0:c1,c2"}
	pod := h.Pod(podSelinux(options))
	os.Mkdir(h.Folder+"/volume", 0o755)
	status, out, errText := h.Sh(pod, "echo works", selinux(options), func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: h.Folder + "/volume", ContainerPath: "/volume", SelinuxRelabel: true}}
	})
	if status.ExitCode != 0 || out != "works" {
		t.Errorf("with options: exit %d, %q, %q", status.ExitCode, out, errText)
	}
	for _, bad := range []*v1.SELinuxOption{{Type: "a:b"}, {Level: "s0\n"}, {User: "u/x"}, {Role: strings.Repeat("r", 300)}} {
		if _, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, selinux(bad))); err == nil || !strings.Contains(err.Error(), "selinux_options") {
			t.Errorf("%v: %v", bad, err)
		}
		if _, err := h.TryPod(h.PodConfig(podSelinux(bad))); err == nil || !strings.Contains(err.Error(), "selinux_options") {
			t.Errorf("pod with %v: %v", bad, err)
		}
	}
	reply, err := h.Raw.Status(context.Background(), &v1.StatusRequest{Verbose: true})
	if err != nil || !strings.Contains(reply.Info["config"], `"selinux":"disabled"`) {
		t.Errorf("Status: %v, %v", reply.GetInfo(), err)
	}
	if n := strings.Count(hostFile(h.LogFile), "selinux_options are without effect"); n != 1 {
		t.Errorf("the log warns %d times", n)
	}
}

// Every process and every file of a pod has its labels: one pair of categories a pod, for its processes by start, by stub and by
// exec, and for all mounts that are made for it.
func TestS18SelinuxLabels(t *testing.T) {
	withPolicy(t)
	h := host.Start(t, host.Options{})
	pod, other := h.Pod(), h.Pod()
	first, second, third := h.Sleeper(pod), h.Sleeper(pod, edit(func(s *v1.LinuxContainerSecurityContext) { s.NoNewPrivs = true })), h.Sleeper(other)
	label, _ := processLabels(h, first)
	if !regexp.MustCompile(`^system_u:system_r:container_t:s0:c\d+,c\d+$`).MatchString(label) {
		t.Fatalf("a container is %q", label)
	}
	checkLabels(h, "the first", first, label)
	checkLabels(h, "another of the pod, no_new_privs", second, label)
	if far, _ := processLabels(h, third); far == label || !strings.HasPrefix(far, containerT+"s0:c") {
		t.Errorf("another pod's is %q, the first's %q", far, label)
	}
	level := strings.TrimPrefix(label, containerT)
	h.ExecOut(first, "echo x > /made && mkdir -p /dev/shm/d")
	root := rootOf(h, first)
	if got := h.ExecOut(first, "cat /proc/keys; ls /proc/acpi /sys/firmware | grep -v :"); got != "" {
		t.Errorf("masked: %q", got)
	}
	for _, path := range []string{"/", "/made", "/bin/sh", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/dev", "/dev/null", "/dev/pts", "/dev/shm", "/dev/shm/d", "/dev/mqueue"} {
		if got := labelOf(root + path); got != fileT+level {
			t.Errorf("%s has %q, want %q", path, got, fileT+level)
		}
	}
	enforce(t, true) // the container works under it
	h.ExecOut(first, "echo y > /made && echo y > /dev/shm/d/f && echo z >> /etc/hosts")
	enforce(t, false)

	h.KillDaemon()
	h.StartDaemon()
	checkLabels(h, "after a restart", first, label)
	late := h.Sleeper(pod)
	checkLabels(h, "made after a restart", late, label)
}

// What the options say, of the pod or of the container, and what is refused.
func TestS18SelinuxOptions(t *testing.T) {
	withPolicy(t)
	h := host.Start(t, host.Options{})
	pod := h.Pod(podSelinux(&v1.SELinuxOption{Level: "s0:c7,c8"}), func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	full := &v1.SELinuxOption{User: "system_u", Role: "system_r", Type: "other_t", Level: "s0:c1,c2"}
	privileged := edit(func(s *v1.LinuxContainerSecurityContext) { s.Privileged = true })
	for name, c := range map[string]struct {
		edits []host.Container
		want  string
	}{
		"the pod's":                          {nil, containerT + "s0:c7,c8"},
		"type":                               {[]host.Container{selinux(&v1.SELinuxOption{Type: "other_t"})}, "system_u:system_r:other_t:s0:c7,c8"},
		"level":                              {[]host.Container{selinux(&v1.SELinuxOption{Level: "s0:c4"})}, containerT + "s0:c4"},
		"all":                                {[]host.Container{selinux(full)}, "system_u:system_r:other_t:s0:c1,c2"},
		"privileged, which is not separated": {[]host.Container{privileged}, "system_u:system_r:spc_t:s0"},
	} {
		id := h.Sleeper(pod, c.edits...)
		checkLabels(h, name, id, c.want)
		if name == "level" {
			if got := labelOf(rootOf(h, id) + "/"); got != fileT+"s0:c4" {
				t.Errorf("the root of a container with a level of its own has %q", got)
			}
		}
		h.StopContainer(id, 10)
		h.RemoveContainer(id)
	}
	for name, bad := range map[string]*v1.SELinuxOption{"level": {Level: "wrong"}, "type": {Type: "no_such_t"}, "category": {Level: "s0:c1024"}, "user": {User: "nobody_u"}} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, selinux(bad)))
		if err == nil || !strings.Contains(err.Error(), "selinux_options") {
			t.Errorf("wrong %s: %v", name, err)
		}
		_, err = h.TryCreate(pod, h.ContainerConfig([]string{"true"}, selinux(bad), privileged))
		if err == nil || !strings.Contains(err.Error(), "selinux_options") {
			t.Errorf("wrong %s, privileged: %v", name, err)
		}
		if _, err := h.TryPod(h.PodConfig(podSelinux(bad))); err == nil || !strings.Contains(err.Error(), "selinux_options") {
			t.Errorf("wrong %s of a pod: %v", name, err)
		}
	}
	h.RemovePod(pod.ID)

	node := func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_NODE }
	shared := func(o *v1.NamespaceOption) { o.Pid = v1.NamespaceMode_POD }
	mapped := func(o *v1.NamespaceOption) {
		ids := []*v1.IDMapping{{HostId: 100000, Length: 65536}}
		o.UsernsOptions = &v1.UserNamespace{Mode: v1.NamespaceMode_POD, Uids: ids, Gids: ids}
	}
	for name, c := range map[string]struct {
		change func(*v1.NamespaceOption)
		asked  *v1.SELinuxOption
		want   string
	}{
		"the node's pid":                {node, nil, "system_u:system_r:spc_t:s0"},
		"the node's pid, but with type": {node, &v1.SELinuxOption{Type: "container_t", Level: "s0:c5,c6"}, containerT + "s0:c5,c6"},
		"shared pid":                    {shared, &v1.SELinuxOption{Level: "s0:c5,c6"}, containerT + "s0:c5,c6"},
		"user namespace":                {mapped, &v1.SELinuxOption{Level: "s0:c5,c6"}, containerT + "s0:c5,c6"},
	} {
		pod := h.Pod(podSelinux(c.asked), func(p *v1.PodSandboxConfig) { c.change(p.Linux.SecurityContext.NamespaceOptions) })
		id := h.Sleeper(pod, edit(func(s *v1.LinuxContainerSecurityContext) { c.change(s.NamespaceOptions) }))
		if _, exec := processLabels(h, id); exec != c.want {
			t.Errorf("%s: an exec is %q, want %q", name, exec, c.want)
		}
		if got := strings.TrimRight(hostFile(strings.TrimSuffix(rootOf(h, id), "root")+"attr/current"), "\x00"); got != c.want {
			t.Errorf("%s: the first process is %q, want %q", name, got, c.want)
		}
		h.RemovePod(pod.ID)
	}
}

// A volume is relabelled only where its mount says so, nothing outside of it ever, and a folder of the host's system is refused.
func TestS18RelabelOnlyWhenAsked(t *testing.T) {
	withPolicy(t)
	h := host.Start(t, host.Options{NoLeak: true}) // a mount of the test's own stands below the volume
	const before, want = "system_u:object_r:host_file_t:s0", fileT + "s0:c7,c8"
	pod := h.Pod(podSelinux(&v1.SELinuxOption{Level: "s0:c7,c8"}))
	volume, outside, hosts := h.Folder+"/volume", h.Folder+"/outside", h.Folder+"/hosts"
	for _, dir := range []string{volume + "/dir/mounted", outside} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{volume + "/file", volume + "/dir/file", outside + "/canary", hosts} {
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		os.Chmod(file, 0o666)
	}
	os.Symlink(outside+"/canary", volume+"/link")
	os.Symlink(outside, volume+"/dir/link")
	if err := unix.Mount(outside, volume+"/dir/mounted", "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(volume+"/dir/mounted", unix.MNT_DETACH)
	inside := []string{volume, volume + "/file", volume + "/dir", volume + "/dir/file", volume + "/link", volume + "/dir/link"}
	others := []string{outside, outside + "/canary", hosts}
	for _, path := range append(append([]string{}, inside...), others...) {
		setLabel(t, path, before)
	}
	check := func(what string, paths []string, label string) {
		t.Helper()
		for _, path := range paths {
			if got := labelOf(path); got != label {
				t.Errorf("%s: %s has %q, want %q", what, path, got, label)
			}
		}
	}
	mounts := func(relabel bool) host.Container {
		return func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: volume, ContainerPath: "/volume", SelinuxRelabel: relabel, Readonly: relabel},
				{HostPath: hosts, ContainerPath: "/etc/hosts"}}
		}
	}
	writes := func(id string) bool {
		_, _, code := h.Exec(id, "sh", "-c", "echo x > /volume/file")
		return code == 0
	}
	plain := h.Sleeper(pod, mounts(false))
	check("not asked for", inside, before)
	check("not asked for", others, before)
	enforce(t, true)
	if writes(plain) {
		t.Error("a container writes to a volume with the host's label")
	}
	enforce(t, false)
	h.Sleeper(pod, mounts(true)) // read-only: the label is the volume's all the same
	check("asked for", inside, want)
	check("asked for", others, before)
	stranger := h.Sleeper(h.Pod(podSelinux(&v1.SELinuxOption{Level: "s0:c8,c9"})), mounts(false))
	enforce(t, true)
	if !writes(plain) {
		t.Error("a container does not write to its relabelled volume")
	}
	if writes(stranger) {
		t.Error("a container of another pod writes to the volume")
	}
	enforce(t, false)

	os.Symlink("/etc", h.Folder+"/innocent")
	label := labelOf("/etc")
	for _, path := range []string{"/etc", "/", h.Folder + "/innocent", "/usr/lib"} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: path, ContainerPath: "/volume", SelinuxRelabel: true}}
		}))
		if err == nil || !strings.Contains(err.Error(), "selinux_relabel") {
			t.Errorf("%s: %v", path, err)
		}
	}
	check("refused", []string{"/etc"}, label)
}
