package security

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// Ambient capabilities reach a program of another user than root without file capabilities; no peer has them.
func TestAmbientCapabilities(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	user := func(c *v1.Capability, noNewPrivs bool) host.Container {
		return edit(func(s *v1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.Capabilities, s.NoNewPrivs = &v1.Int64Value{Value: 1000}, c, noNewPrivs
		})
	}
	for name, c := range map[string]struct {
		caps *v1.Capability
		want string // of Inh, Prm, Eff, Bnd, Amb
	}{
		"net bind":         {&v1.Capability{DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"NET_BIND_SERVICE"}}, "400 400 400 400 400"},
		"with the default": {&v1.Capability{AddAmbientCapabilities: []string{"CAP_NET_ADMIN"}}, "1000 1000 1000 a80435fb 1000"},
		"all":              {&v1.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"CHOWN", "KILL"}, AddAmbientCapabilities: []string{"ALL"}}, "21 21 21 21 21"},
	} {
		for _, noNewPrivs := range []bool{false, true} {
			id := h.Sleeper(pod, user(c.caps, noNewPrivs))
			for _, pid := range []string{"1", "self"} {
				got := h.ExecOut(id, "grep ^Cap /proc/"+pid+"/status | cut -f2 | sed 's/^0*//'")
				if strings.Join(strings.Fields(got), " ") != c.want {
					t.Errorf("%s, process %s, no_new_privs %v: %q, want %q", name, pid, noNewPrivs, got, c.want)
				}
			}
			h.RemoveContainer(id)
		}
	}
	for _, caps := range []*v1.Capability{
		{AddAmbientCapabilities: []string{"NO_SUCH"}},
		{DropCapabilities: []string{"NET_RAW"}, AddAmbientCapabilities: []string{"NET_RAW"}},
	} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, user(caps, false)))
		if err == nil || !strings.Contains(err.Error(), "add_ambient_capabilities") {
			t.Errorf("%v: %v", caps, err)
		}
	}
}

// Limits of open files do not depend on the daemon's own; what the kernel refuses to raise is clamped, said once in the log.
func TestRlimitsDoNotLeak(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	files := func() string {
		_, out, _ := h.Sh(pod, "grep 'open files' /proc/self/limits | tr -s ' ' | cut -d' ' -f4,5")
		return out
	}
	var own unix.Rlimit
	if err := unix.Prlimit(h.DaemonPid(), unix.RLIMIT_NOFILE, nil, &own); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("1024 %d", min(524288, own.Max))
	if got := files(); got != want {
		t.Errorf("open files %q, want %q", got, want)
	}
	soft := unix.Rlimit{Cur: 900, Max: own.Max}
	for _, pid := range append(h.KeeperPids(), h.DaemonPid()) {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &soft, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(); got != want {
		t.Errorf("with another soft limit of crisp: open files %q, want %q", got, want)
	}
	if lines := strings.Count(hostFile(h.LogFile), "hard limit of open files"); (own.Max < 524288) != (lines == 1) {
		t.Errorf("hard limit %d: %d lines in the log", own.Max, lines)
	}
	hard := unix.Rlimit{Cur: 900, Max: 2000}
	if err := unix.Prlimit(h.KeeperPids()[0], unix.RLIMIT_NOFILE, &hard, nil); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != "1024 2000" {
		t.Errorf("with a keeper that may not more: open files %q", got)
	}
}

// Without CAP_SYS_RESOURCE a score below crisp's own cannot be had: the container starts, the log says so once.
func TestOomScoreIsClamped(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	keeper := hostFile("/proc/" + itoa(h.KeeperPids()[0]) + "/oom_score_adj")
	for _, score := range []int64{-997, -1000, 0, 1000} {
		_, out, _ := h.Sh(pod, "cat /proc/self/oom_score_adj", func(c *v1.ContainerConfig) { c.Linux.Resources.OomScoreAdj = score })
		want := fmt.Sprint(max(score, 0))
		if hasResource() {
			want = fmt.Sprint(score)
		}
		if out != want {
			t.Errorf("asked for %d: %s", score, out)
		}
	}
	if now := hostFile("/proc/" + itoa(h.KeeperPids()[0]) + "/oom_score_adj"); now != keeper {
		t.Errorf("the keeper's own score was %q and is %q", keeper, now)
	}
	if lines := strings.Count(hostFile(h.LogFile), "CAP_SYS_RESOURCE"); !hasResource() && lines != 1 {
		t.Errorf("%d lines in the log", lines)
	}
}

// hasResource: may this machine's root lower an oom score?
func hasResource() bool {
	for _, line := range strings.Split(hostFile("/proc/self/status"), "\n") {
		var set uint64
		if n, _ := fmt.Sscanf(line, "CapEff:\t%x", &set); n == 1 {
			return set>>unix.CAP_SYS_RESOURCE&1 == 1
		}
	}
	return false
}

// Merge adds the groups that the image's /etc/group gives the user, Strict does not; status, first process and exec agree.
func TestSupplementalGroupsPolicy(t *testing.T) {
	h := host.Start(t, host.Options{})
	image := withEntries(registry.Config{Cmd: []string{"sh"}},
		registry.Entry{Name: "etc/passwd", Body: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n", Mode: 0o644},
		registry.Entry{Name: "etc/group", Body: "root:x:0:\napp:x:1000:\nextra:x:50000:app,other\nmore:x:50001:other\n", Mode: 0o644})
	load(h, image)
	pod := h.Pod()
	for _, c := range []struct {
		policy v1.SupplementalGroupsPolicy
		want   string
	}{{v1.SupplementalGroupsPolicy_Merge, "1000 1234 50000"}, {v1.SupplementalGroupsPolicy_Strict, "1000 1234"}} {
		id := h.Sleeper(pod, imageOf(image), edit(func(s *v1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.SupplementalGroups, s.SupplementalGroupsPolicy = &v1.Int64Value{Value: 1000}, []int64{1234}, c.policy
		}))
		user := h.Status(id).User.GetLinux()
		if got := strings.Trim(fmt.Sprint(user.GetSupplementalGroups()), "[]"); user.GetUid() != 1000 || user.GetGid() != 1000 || got != c.want {
			t.Errorf("%v: status says %v", c.policy, user)
		}
		for _, pid := range []string{"1", "self"} {
			if got := h.ExecOut(id, "grep ^Groups /proc/"+pid+"/status | cut -f2"); strings.TrimSpace(got) != c.want {
				t.Errorf("%v, process %s: groups %q", c.policy, pid, got)
			}
		}
	}
	_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, edit(func(s *v1.LinuxContainerSecurityContext) { s.SupplementalGroupsPolicy = 7 })))
	if err == nil || !strings.Contains(err.Error(), "supplemental_groups_policy") {
		t.Errorf("policy 7: %v", err)
	}
	status, err := h.Raw.Status(context.Background(), &v1.StatusRequest{})
	if err != nil || !status.GetFeatures().GetSupplementalGroupsPolicy() {
		t.Errorf("Status does not offer the policy: %v, %v", status.GetFeatures(), err)
	}
}

// A privileged container has the effects that CRI names: all capabilities, no masks, writable /proc/sys, /sys and cgroups, the
// host's devices and leave to use them, no filter.
func TestPrivileged(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }),
		edit(func(s *v1.LinuxContainerSecurityContext) { s.Privileged = true }))
	all := h.ExecOut(id, "grep CapBnd /proc/self/status | cut -f2")
	for _, line := range strings.Split(hostFile("/proc/self/status"), "\n") {
		if bounding, found := strings.CutPrefix(line, "CapBnd:\t"); found && bounding != all {
			t.Errorf("capabilities %s, the host has %s", all, bounding)
		}
	}
	for what, script := range map[string]string{
		"masks":         "test $(head -c 100 /proc/timer_list | wc -c) = 100",
		"/proc/sys":     "cat /proc/sys/net/ipv4/ip_default_ttl > /tmp/ttl && cat /tmp/ttl > /proc/sys/net/ipv4/ip_default_ttl",
		"/sys":          "grep -q ' /sys sysfs rw' /proc/self/mounts",
		"cgroups":       "mkdir $(find /sys/fs/cgroup -maxdepth 1 -type d | sort | tail -1)/sub && rmdir $(find /sys/fs/cgroup -maxdepth 1 -type d | sort | tail -1)/sub",
		"devices":       "test -e /dev/kmsg || test $(ls /dev | wc -l) -gt 20",
		"device access": "mknod /tmp/kmsg c 1 11 && : < /tmp/kmsg",
		"filter":        "test $(grep ^Seccomp: /proc/self/status | cut -f2) = 0",
		"mount":         "mkdir /tmp/m && mount -t tmpfs none /tmp/m",
		"no_new_privs":  "test $(grep ^NoNewPrivs: /proc/self/status | cut -f2) = 0",
	} {
		if out, errText, code := h.Exec(id, "sh", "-c", script); code != 0 {
			t.Errorf("%s: exit code %d, %q %q", what, code, out, errText)
		}
	}
}
