package security

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2022-0532: a sysctl that is the host's, or belongs to a namespace that the pod shares with the host, is refused.
func TestS19SysctlsOfTheHost(t *testing.T) {
	h := host.Start(t, host.Options{})
	hostIpc := func(c *v1.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Ipc = v1.NamespaceMode_NODE
	}
	own := func(*v1.PodSandboxConfig) {}
	for _, c := range []struct {
		names string
		pod   host.Sandbox
	}{
		{"vm.swappiness vm.overcommit_memory kernel.core_pattern kernel.panic kernel.modprobe kernel.hostname kernel.domainname kernel.pid_max " +
			"kernel.randomize_va_space kernel.sysrq kernel.yama.ptrace_scope kernel.unprivileged_bpf_disabled kernel.shm kernel.semx fs.file-max " +
			"fs.protected_symlinks fs.suid_dumpable fs.mqueuex.y dev.tty.ldisc_autoload user.max_user_namespaces debug.exception-trace abi.vsyscall32 net netx.y", own},
		{"net.ipv4.ip_forward net.ipv4.ip_default_ttl net.core.somaxconn net.ipv6.conf.all.forwarding net.ipv4.conf.all.route_localnet net/ipv4/ip_forward", host.HostNetwork},
		{"kernel.shmmax kernel.shmall kernel.shmmni kernel.sem kernel.msgmax kernel.msgmnb kernel.msgmni kernel.shm_rmid_forced fs.mqueue.msg_max fs/mqueue/queues_max", hostIpc},
	} {
		for _, name := range strings.Fields(c.names) {
			path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			before := hostFile(path)
			_, err := h.TryPod(h.PodConfig(c.pod, func(p *v1.PodSandboxConfig) { p.Linux.Sysctls = map[string]string{name: "1"} }))
			if err == nil {
				t.Errorf("%s: accepted", name)
			} else {
				h.WantCode(err, codes.InvalidArgument, name)
			}
			if now := hostFile(path); now != before {
				t.Fatalf("%s of the host was %q and is %q", name, before, now)
			}
		}
	}
}

// CVE-2022-0811: a value is a value and a name a name, whatever characters they hold.
func TestS20SysctlInjection(t *testing.T) {
	h := host.Start(t, host.Options{})
	before := hostFile("/proc/sys/kernel/core_pattern")
	for key, value := range map[string]string{
		"kernel.shm_rmid_forced":              "1+kernel.core_pattern=|/x",
		"kernel.shmmni":                       "1\nkernel.core_pattern=|/x",
		"kernel.msgmax":                       "1\x00",
		"net.ipv4.../../kernel/core_pattern":  "|/x",
		"net/ipv4/../../kernel/core_pattern":  "|/x",
		"net.ipv4/../../kernel/core_pattern":  "|/x",
		"kernel.shm_rmid_forced=1 -w":         "1",
		"net.ipv4.conf.all.forwarding\x00.x":  "1",
		"net..core":                           "1",
		"/net/core/somaxconn":                 "1",
		"net.core.somaxconn":                  strings.Repeat("1", 5000),
		"net." + strings.Repeat("a.", 300):    "1",
		"net.ipv4.ip_forward net.ipv4.tcp_x ": "1",
	} {
		_, err := h.TryPod(h.PodConfig(func(p *v1.PodSandboxConfig) { p.Linux.Sysctls = map[string]string{key: value} }))
		if err == nil {
			t.Errorf("%q=%.40q: accepted", key, value)
		}
	}
	if now := hostFile("/proc/sys/kernel/core_pattern"); now != before {
		t.Fatalf("core_pattern was %q and is %q", before, now)
	}
}

// CVE-2025-52881: what the launch writes below /proc reaches the container's own procfs, whatever the image has there.
func TestS05ProcWritesOfTheLaunch(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder, check := outside(h)
	before := hostFile("/proc/sys/kernel/core_pattern")
	image := imageWithFakeProc(folder)
	load(h, image)
	pod := h.Pod(func(p *v1.PodSandboxConfig) { p.Linux.Sysctls = map[string]string{"net.ipv4.ip_default_ttl": "77"} })
	_, out, errText := h.Sh(pod, "cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl", imageOf(image),
		func(c *v1.ContainerConfig) { c.Linux.Resources.OomScoreAdj = 321 })
	if out != "321\n77" {
		t.Errorf("the container reads %q (%s)", out, errText)
	}
	check("a fake /proc")
	if now := hostFile("/proc/sys/kernel/core_pattern"); now != before {
		t.Errorf("core_pattern was %q and is %q", before, now)
	}
	for _, pid := range append(h.KeeperPids(), h.DaemonPid()) {
		if got := hostFile("/proc/" + itoa(pid) + "/oom_score_adj"); got == "321\n" {
			t.Errorf("the container's oom_score_adj was given to process %d of crisp", pid)
		}
	}
}
