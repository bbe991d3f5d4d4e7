package system

import (
	"bufio"
	"fmt"
	"net"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// greeting asks a TCP port once and returns the line that it says, or "".
func greeting(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// A published port answers on the node's loopback address and on its own; on the one it was bound to if it was.
func TestHostPort(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) {
		c.PortMappings = []*v1.PortMapping{{Protocol: v1.Protocol_TCP, ContainerPort: 80, HostPort: 12000},
			{Protocol: v1.Protocol_TCP, ContainerPort: 80, HostPort: 12001, HostIp: "127.0.0.1"}}
	})
	id := h.Run(pod, []string{"nc", "-ll", "-p", "80", "-e", "echo", "hello"})
	h.ExecOut(id, "until netstat -ltn | grep -q ':80 '; do usleep 20000; done")
	gateway := h.ExecOut(id, "ip route | sed -n 's/default via \\([0-9.]*\\).*/\\1/p'")
	for _, c := range []struct {
		address string
		port    int
		want    string
	}{{"127.0.0.1", 12000, "hello\n"}, {"127.1.2.3", 12000, "hello\n"}, {gateway, 12000, "hello\n"}, {h.PodIP(pod), 80, "hello\n"},
		{"127.0.0.1", 12001, "hello\n"}, {gateway, 12001, ""}} {
		if got := greeting(fmt.Sprintf("%s:%d", c.address, c.port)); got != c.want {
			t.Errorf("%s:%d says %q, want %q", c.address, c.port, got, c.want)
		}
	}
	h.StopPod(pod.ID)
	if got := greeting("127.0.0.1:12000"); got != "" {
		t.Errorf("after the stop the port says %q", got)
	}
}
