package security

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2021-20206: a plugin's type is the name of a file in the plugin folder, and nothing else is executed.
func TestS60PluginTypes(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	ran := dir + "/ran"
	script := []byte("#!/bin/sh\n: > " + ran + "\necho '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.5.0.9/24\"}]}'\n")
	for _, folder := range []string{"bin", "bin/below", "outside"} {
		os.Mkdir(dir+"/"+folder, 0o755)
		os.WriteFile(dir+"/"+folder+"/evil", script, 0o755)
	}
	os.Remove(dir + "/bin/evil")
	os.Symlink("../outside/evil", dir+"/bin/link")
	os.Symlink(dir+"/outside/evil", dir+"/bin/absolute")
	os.WriteFile(dir+"/bin/writable", script, 0o755)
	os.Chmod(dir+"/bin/writable", 0o757)
	os.Mkdir(dir+"/conf", 0o755)
	h := host.Start(t, host.Options{Config: fmt.Sprintf("[network]\nbuiltin = false\nconf_dirs = [%q]\nbin_dirs = [%q]\n", dir+"/conf", dir+"/bin")})
	for _, plugin := range []string{"../outside/evil", "below/evil", dir + "/outside/evil", "..", ".", "", "link", "absolute", "writable", "evil\\u0000x", "evil x"} {
		os.WriteFile(dir+"/conf/10.conflist", []byte(`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"`+plugin+`"}]}`), 0o644)
		_, err := h.TryPod(h.PodConfig())
		if err == nil || !strings.Contains(err.Error(), "plugin") {
			t.Errorf("type %q: %v", plugin, err)
		} else if name := strings.TrimSuffix(plugin, "\\u0000x"); !strings.Contains(err.Error(), name) {
			t.Errorf("type %q: the error does not name it: %v", plugin, err)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Fatalf("type %q was executed", plugin)
		}
	}
}

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// said is what somebody at this address writes, "" if nobody does.
func said(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	buffer := make([]byte, 64)
	n, _ := conn.Read(buffer)
	return strings.TrimSpace(string(buffer[:n]))
}

// CVE-2025-67499: a published port is the node's. What is only forwarded through the node to the same port of somebody else
// arrives there.
func TestS62ForwardedTrafficIsNotCaught(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) {
		c.PortMappings = []*v1.PortMapping{{Protocol: v1.Protocol_TCP, ContainerPort: 80, HostPort: 12062}}
	})
	id := h.Run(pod, []string{"nc", "-ll", "-p", "80", "-e", "echo", "the pod"})
	h.ExecOut(id, "until netstat -ltn | grep -q ':80 '; do usleep 20000; done")
	sh(t, `set -e
ip netns add far; ip link add up2 type veth peer name down2 netns far
ip addr add 192.0.2.5/30 dev up2; ip link set up2 up
ip -n far addr add 192.0.2.6/30 dev down2; ip -n far link set down2 up; ip -n far link set lo up`)
	defer exec.Command("sh", "-c", "ip link del up2; ip netns del far; umount /run/netns").Run()
	server := exec.Command("ip", "netns", "exec", "far", "busybox", "nc", "-ll", "-p", "12062", "-e", "echo", "the far host")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	sh(t, "until ip netns exec far busybox netstat -ltn | grep -q :12062; do sleep 0.02; done")
	other := h.Sleeper(h.Pod())
	if got := h.ExecOut(other, "nc -w 5 192.0.2.6 12062 < /dev/null"); got != "the far host" {
		t.Errorf("192.0.2.6:12062, through the node, says %q", got)
	}
	if got := said("192.0.2.5:12062"); got != "the pod" {
		t.Errorf("the node's own port says %q", got)
	}
}

// CVE-2025-54388: somebody flushes the rules (a firewall's reload) while pods come and go: they come back by themselves.
func TestS63RulesComeBack(t *testing.T) {
	h := host.Start(t, host.Options{})
	h.Pod(func(c *v1.PodSandboxConfig) {
		c.PortMappings = []*v1.PortMapping{{Protocol: v1.Protocol_TCP, ContainerPort: 80, HostPort: 12063}}
	})
	rules := func() string {
		out, _ := exec.Command("nft", "list", "ruleset").CombinedOutput()
		return string(out)
	}
	before := rules()
	if !strings.Contains(before, "masquerade") || !strings.Contains(before, "12063") || !strings.Contains(before, "127.0.0.0/8") {
		t.Fatalf("rules:\n%s", before)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			other, err := h.TryPod(h.PodConfig())
			if err == nil {
				_, err = h.Raw.RemovePodSandbox(context.Background(), &v1.RemovePodSandboxRequest{PodSandboxId: other.ID})
			}
			if err != nil {
				t.Errorf("a pod meanwhile: %v", err)
			}
		}
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for i := 0; i < 5; i++ {
		sh(t, "nft flush ruleset")
		begin := time.Now()
		for rules() != before {
			if time.Since(begin) > host.Limit {
				t.Fatalf("flush %d: the rules are not back:\n%s", i, rules())
			}
			time.Sleep(2 * time.Millisecond)
		}
		t.Logf("flush %d: back after %s", i, time.Since(begin))
	}
}
