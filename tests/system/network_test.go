package system

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Two pods reach each other, the node, and are reached by it; each has its own loopback and its own address.
func TestPodNetwork(t *testing.T) {
	h := host.Start(t, host.Options{})
	a, b := h.Pod(), h.Pod()
	inA, inB := h.Sleeper(a), h.Sleeper(b)
	ipA, ipB := h.PodIP(a), h.PodIP(b)
	if ipA == ipB || net.ParseIP(ipA) == nil || net.ParseIP(ipB) == nil {
		t.Fatalf("addresses %q and %q", ipA, ipB)
	}
	gateway := h.ExecOut(inA, "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'")
	for _, c := range []struct{ id, to string }{{inA, "127.0.0.1"}, {inA, ipA}, {inA, ipB}, {inB, ipA}, {inA, gateway}} {
		h.ExecOut(c.id, "ping -c 1 -W 5 "+c.to)
	}
	if out, err := exec.Command("ping", "-c", "1", "-W", "5", ipA).CombinedOutput(); err != nil {
		t.Errorf("the node does not reach the pod: %s", out)
	}
	if got := h.ExecOut(inA, "ip -4 -o addr show eth0 | awk '{print $4}' | cut -d/ -f1"); got != ipA {
		t.Errorf("eth0 has %s, status says %s", got, ipA)
	}
}

// A host beyond the node sees the node's address, not the pod's.
func TestMasquerade(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	script := `set -e
ip netns add third; ip link add up0 type veth peer name down0 netns third
ip addr add 192.0.2.1/24 dev up0; ip link set up0 up
ip -n third addr add 192.0.2.2/24 dev down0; ip -n third link set down0 up; ip -n third link set lo up`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("the third host: %v: %s", err, out)
	}
	defer exec.Command("sh", "-c", "ip link del up0; ip netns del third; umount /run/netns").Run()
	// The third host has no route to the pods: an answer comes back only if the node's address was put in.
	h.ExecOut(id, "ping -c 1 -W 5 192.0.2.2")
}

// /etc/hosts, /etc/resolv.conf and the host name are the pod's.
func TestPodFiles(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) {
		c.DnsConfig = &v1.DNSConfig{Servers: []string{"10.10.10.10", "10.10.10.11"}, Searches: []string{"google.com", "x.y"}, Options: []string{"ndots:8"}}
	})
	id := h.Sleeper(pod)
	resolv := h.ExecOut(id, "cat /etc/resolv.conf")
	for _, want := range []string{"nameserver 10.10.10.10", "nameserver 10.10.10.11", "search google.com x.y", "options ndots:8"} {
		if !strings.Contains(resolv, want) {
			t.Errorf("resolv.conf %q lacks %q", resolv, want)
		}
	}
	if got := h.ExecOut(id, "hostname; cat /etc/hostname"); got != pod.Config.Hostname+"\n"+pod.Config.Hostname {
		t.Errorf("host name %q, want %q", got, pod.Config.Hostname)
	}
	if hosts := h.ExecOut(id, "cat /etc/hosts"); !strings.Contains(hosts, h.PodIP(pod)) || !strings.Contains(hosts, "localhost") {
		t.Errorf("/etc/hosts: %q", hosts)
	}
	second := h.Sleeper(pod)
	h.ExecOut(id, "echo shared > /dev/shm/x")
	if got := h.ExecOut(second, "cat /dev/shm/x"); got != "shared" {
		t.Errorf("/dev/shm is not the pod's: %q", got)
	}
	for _, ns := range []string{"net", "ipc", "uts"} {
		if a, b := h.ExecOut(id, "readlink /proc/self/ns/"+ns), h.ExecOut(second, "readlink /proc/self/ns/"+ns); a != b {
			t.Errorf("%s namespaces %s and %s in one pod", ns, a, b)
		}
	}
}

// A pod on the node's network has no address of its own and sees the node's links.
func TestHostNetwork(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(host.HostNetwork)
	if ip := h.PodIP(pod); ip != "" {
		t.Errorf("status names the address %s", ip)
	}
	id := h.Sleeper(pod, func(c *v1.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Network = v1.NamespaceMode_NODE })
	mine, _ := os.Readlink("/proc/self/ns/net")
	if got := h.ExecOut(id, "readlink /proc/self/ns/net"); got != mine {
		t.Errorf("namespace %s, the node's is %s", got, mine)
	}
	if got := h.ExecOut(id, "hostname"); got != "crisp-node" {
		t.Errorf("host name %q", got)
	}
}

// Sysctls of the pod's namespaces are set.
func TestSysctls(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(func(c *v1.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"kernel.shm_rmid_forced": "1", "net.ipv4.ip_default_ttl": "77", "fs.mqueue.msg_max": "100"}
	}))
	got := h.ExecOut(id, "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_default_ttl /proc/sys/fs/mqueue/msg_max")
	if got != "1\n77\n100" {
		t.Errorf("%q", got)
	}
	if data, _ := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl"); strings.TrimSpace(string(data)) == "77" {
		t.Error("the node's own sysctl has changed")
	}
}

// network.builtin = false and no conflist: NetworkPluginNotReady, and pods with a network of their own are refused.
func TestNoNetwork(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[network]\nbuiltin = false\n"})
	reply, err := h.Runtime.Status(context.Background(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range reply.Status.Conditions {
		switch c.Type {
		case "RuntimeReady":
			if !c.Status {
				t.Error("RuntimeReady is false")
			}
		case "NetworkReady":
			if c.Status || c.Reason != "NetworkPluginNotReady" || !strings.Contains(c.Message, "cni plugin not initialized") {
				t.Errorf("NetworkReady %v", c)
			}
		}
	}
	if _, err := h.TryPod(h.PodConfig()); err == nil {
		t.Error("a pod was run without a network")
	}
	h.Pod(host.HostNetwork)
}
