package system

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// What a plain container may not do, and what it sees.
func TestDefaultConfinement(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for what, script := range map[string]string{
		"mount":             "mount -t tmpfs none /mnt",
		"sysctl":            "echo 65 > /proc/sys/net/ipv4/ip_default_ttl",
		"user namespace":    "unshare -U true",
		"sysrq":             "echo h > /proc/sysrq-trigger",
		"host name":         "hostname changed",
		"write /sys":        "mkdir /sys/fs/cgroup/memory/x || echo 1 > /sys/fs/cgroup/memory/memory.swappiness",
		"a disk":            "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk",
		"masked /proc/keys": "test -n \"$(cat /proc/keys)\"",
		"kernel log":        "dmesg",
	} {
		if out, errText, code := h.Exec(id, "sh", "-c", script); code == 0 {
			t.Errorf("%s: allowed (%q, %q)", what, out, errText)
		}
	}
	if got := h.ExecOut(id, "cat /proc/1/comm"); got != "sh" {
		t.Errorf("pid 1 is %q", got)
	}
	if got := h.ExecOut(id, "ls /proc/self/fd | wc -l"); got != "4" { // 0 1 2 and the folder itself
		t.Errorf("an exec has %s file descriptors: %s", got, h.ExecOut(id, "ls -l /proc/self/fd"))
	}
	if got := h.ExecOut(id, "ls /proc/1/fd | wc -l"); got != "3" && got != "4" {
		t.Errorf("the first process has %s file descriptors: %s", got, h.ExecOut(id, "ls -l /proc/1/fd"))
	}
	if got := h.ExecOut(id, "grep -E '^Seccomp:' /proc/1/status | cut -f2"); got != "2" {
		t.Errorf("seccomp mode is %s", got)
	}
}

// Capabilities: added, dropped, all of them.
func TestCapabilities(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	bounding := func(c *v1.Capability) string {
		_, out, _ := h.Sh(pod, "grep CapBnd /proc/self/status | cut -f2", func(config *v1.ContainerConfig) {
			config.Linux.SecurityContext.Capabilities = c
		})
		return out
	}
	const standard = "00000000a80425fb"
	if got := bounding(nil); got != standard {
		t.Errorf("by default %s, want %s", got, standard)
	}
	if got := bounding(&v1.Capability{DropCapabilities: []string{"ALL"}}); got != "0000000000000000" {
		t.Errorf("drop ALL: %s", got)
	}
	if got := bounding(&v1.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}); got != "0000000000000400" {
		t.Errorf("drop ALL, add NET_BIND_SERVICE: %s", got)
	}
	if got := bounding(&v1.Capability{AddCapabilities: []string{"NET_ADMIN"}}); got != "00000000a80435fb" {
		t.Errorf("add NET_ADMIN: %s", got)
	}
	if got := bounding(&v1.Capability{DropCapabilities: []string{"NET_RAW"}}); got != "00000000a80405fb" {
		t.Errorf("drop NET_RAW: %s", got)
	}
}

// User, groups and their names, as asked and as the image's passwd knows them.
func TestUsers(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, c := range []struct {
		edit func(*v1.LinuxContainerSecurityContext)
		want string
	}{
		{func(s *v1.LinuxContainerSecurityContext) {}, "0 0 0"},
		{func(s *v1.LinuxContainerSecurityContext) { s.RunAsUser = &v1.Int64Value{Value: 1001} }, "1001 0 0"},
		{func(s *v1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup = &v1.Int64Value{Value: 1001}, &v1.Int64Value{Value: 1002}
			s.SupplementalGroups = []int64{1234, 5678}
		}, "1001 1002 1002 1234 5678"},
		{func(s *v1.LinuxContainerSecurityContext) { s.RunAsUsername = "root" }, "0 0 0"},
	} {
		s, out, errText := h.Sh(pod, "echo $(id -u) $(id -g) $(id -G)", func(config *v1.ContainerConfig) { c.edit(config.Linux.SecurityContext) })
		if s.ExitCode != 0 || out != c.want {
			t.Errorf("%q (%s), want %q", out, errText, c.want)
		}
	}
}

// Read-only root, bind mounts, read-only binds, a mount through a symbolic link of the host.
func TestMounts(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	volume := h.Folder + "/volume"
	if err := os.MkdirAll(volume+"/real", 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(volume+"/real/file", []byte("content"), 0o644)
	os.Symlink(volume+"/real", volume+"/link")
	id := h.Sleeper(pod, func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.ReadonlyRootfs = true
		c.Mounts = []*v1.Mount{
			{HostPath: volume + "/real", ContainerPath: "/data"},
			{HostPath: volume + "/link", ContainerPath: "/deep/er/linked", Readonly: true},
			{HostPath: volume + "/real/file", ContainerPath: "/etc/one-file"},
		}
	})
	for script, want := range map[string]bool{
		"echo x > /top": false, "echo x > /data/new": true, "echo x > /deep/er/linked/new2": false,
		"grep -q content /deep/er/linked/file": true, "grep -q content /etc/one-file": true, "echo x > /tmp/x": false, "echo x > /dev/shm/x": true,
	} {
		if _, errText, code := h.Exec(id, "sh", "-c", script); (code == 0) != want {
			t.Errorf("%q: exit code %d, %s", script, code, errText)
		}
	}
	if _, err := os.Stat(volume + "/real/new"); err != nil {
		t.Error("what the container wrote is not on the host")
	}
	if mounts := h.Status(id).Mounts; len(mounts) != 3 || mounts[0].ContainerPath != "/data" {
		t.Errorf("status says mounts %v", mounts)
	}
}

// Limits are in force, and the container sees them.
func TestCgroupLimits(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Linux.Resources = &v1.LinuxContainerResources{CpuPeriod: 50000, CpuQuota: 25000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, CpusetCpus: "0"}
	})
	script := "if [ -e /sys/fs/cgroup/memory.max ]; then cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpuset.cpus; " +
		"else cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes; echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us); cat cpuset/cpuset.cpus; fi"
	if got := h.ExecOut(id, script); got != "67108864\n25000 50000\n0" {
		t.Errorf("the container sees %q", got)
	}
	if got := h.ExecOut(id, "grep Cpus_allowed_list /proc/1/status | cut -f2"); got != "0" {
		t.Errorf("allowed CPUs %s", got)
	}
	if got := h.ExecOut(id, "cut -d: -f3 /proc/1/cgroup | sort -u"); got != "/" {
		t.Errorf("the container sees cgroup paths %q, not its own namespace", got)
	}
}

// Containers that run as another user pass through our state folder and read their own limits (as a Java VM does).
func TestNonRoot(t *testing.T) {
	h := host.Start(t, host.Options{})
	s, out, errText := h.Sh(h.Pod(), "id -u; cat /etc/hosts >/dev/null && ls / >/dev/null && echo x > /tmp/mine && "+
		"cd /sys/fs/cgroup && if [ -d memory ]; then cat memory/memory.limit_in_bytes; else cat memory.max; fi >/dev/null && echo fine", func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.RunAsUser = &v1.Int64Value{Value: 12345}
		c.Linux.SecurityContext.Capabilities = &v1.Capability{DropCapabilities: []string{"ALL"}}
	})
	if s.ExitCode != 0 || out != "12345\nfine" {
		t.Errorf("exit code %d, %q, %q", s.ExitCode, out, errText)
	}
}

// no_new_privs and the environment.
func TestProcessSettings(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	_, out, _ := h.Sh(pod, "grep NoNewPrivs /proc/self/status | cut -f2; echo $HOSTNAME; echo $A; echo $PATH; cat /proc/self/oom_score_adj", func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.NoNewPrivs = true
		c.Envs = []*v1.KeyValue{{Key: "A", Value: []byte("first")}, {Key: "A", Value: []byte("b=c d")}}
		c.Linux.Resources.OomScoreAdj = 500
	})
	lines := strings.Split(out, "\n")
	if len(lines) != 5 || lines[0] != "1" || lines[1] != pod.Config.Hostname || lines[2] != "b=c d" || !strings.Contains(lines[3], "/bin") || lines[4] != "500" {
		t.Errorf("%q", lines)
	}
}
