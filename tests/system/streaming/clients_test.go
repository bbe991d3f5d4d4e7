package streaming

import (
	"io"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const sampleKey = "Connection: Upgrade\r\nSec-Websocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-Websocket-Version: 13\r\nUpgrade: websocket\r\n"

// What each client really sends (traces of kubelet 1.37, kubectl, crictl 1.34 and 1.36), and what it must be answered.
func TestStreamClientsHeads(t *testing.T) {
	if host.IsPeer() {
		t.Skip() // 403 for what crictl asks for by WebSocket
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	const five = "X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: v3.channel.k8s.io\r\n" +
		"X-Stream-Protocol-Version: v2.channel.k8s.io\r\nX-Stream-Protocol-Version: channel.k8s.io\r\n"
	const spdy = "Content-Length: 0\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
	const foreign = "Host: 10.0.0.1:10250\r\nX-Forwarded-For: 10.0.0.2, 127.0.0.1\r\nKubectl-Command: kubectl exec\r\nKubectl-Session: 3e2a\r\n"
	for _, c := range []struct {
		name   string
		url    streamURL
		method string
		head   string
		want   string // a line of the answer
	}{
		{"kubelet", askExec("true"), "POST", "Host: 127.0.0.1:1\r\nUser-Agent: Go-http-client/1.1\r\n" + spdy + five, "X-Stream-Protocol-Version: v4.channel.k8s.io"},
		{"an old kubectl through a proxy", askExec("true"), "POST", foreign + spdy + five, "X-Stream-Protocol-Version: v4.channel.k8s.io"},
		{"SPDY by GET", askExec("true"), "GET", foreign + spdy + five, "X-Stream-Protocol-Version: v4.channel.k8s.io"},
		{"versions in one header", askExec("true"), "POST", foreign + spdy + "X-Stream-Protocol-Version: v9.channel.k8s.io, v2.channel.k8s.io ,v4.channel.k8s.io\r\n", "X-Stream-Protocol-Version: v2.channel.k8s.io"},
		{"port-forward", askForward, "POST", foreign + spdy + "X-Stream-Protocol-Version: portforward.k8s.io\r\n", "X-Stream-Protocol-Version: portforward.k8s.io"},
		{"crictl --transport websocket exec", askExec("true"), "GET", "Host: x\r\n" + sampleKey + "Sec-Websocket-Protocol: v5.channel.k8s.io\r\n", "Sec-WebSocket-Protocol: v5.channel.k8s.io"},
		{"crictl --transport websocket port-forward", askForward, "GET", "Host: x\r\n" + sampleKey + "Sec-Websocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n", "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"},
		{"WebSocket v4 through the kubelet", askExec("true"), "GET", foreign + sampleKey + "Sec-Websocket-Protocol: v4.channel.k8s.io\r\n", "Sec-WebSocket-Protocol: v4.channel.k8s.io"},
		{"WebSocket, many offered", askExec("true"), "GET", foreign + sampleKey + "Sec-Websocket-Protocol: chat, base64.channel.k8s.io, v5.channel.k8s.io\r\n", "Sec-WebSocket-Protocol: base64.channel.k8s.io"},
		{"WebSocket without a name", askExec("true"), "GET", foreign + sampleKey, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, path := dialRaw(t, c.url(h, pod, id))
			defer r.Close()
			io.WriteString(r, c.method+" "+path+" HTTP/1.1\r\n"+c.head+"\r\n")
			answer := r.until("\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 101 Switching Protocols\r\n") || !strings.Contains(answer, "\r\nConnection: Upgrade\r\n") ||
				!strings.Contains(answer, "\r\n"+c.want+"\r\n") {
				t.Errorf("answered %q", answer)
			}
			socket := strings.Contains(c.head, "websocket")
			if socket != strings.Contains(answer, "\r\nUpgrade: websocket\r\n") || socket == strings.Contains(answer, "\r\nUpgrade: SPDY/3.1\r\n") ||
				socket != strings.Contains(answer, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") || // RFC 6455, 1.3
				(c.want == "" && strings.Contains(answer, "Sec-WebSocket-Protocol")) {
				t.Errorf("answered %q", answer)
			}
		})
	}
}

// The URLs' address is loopback's unless configured.
func TestStreamListener(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	for i, c := range []struct{ config, prefix string }{
		{"", "http://127.0.0.1:"},
		{"[streaming]\naddress = \"127.0.0.1:10444\"\n", "http://127.0.0.1:10444/"},
		{"[streaming]\naddress = \"[::1]:0\"\n", "http://[::1]:"},
	} {
		h := host.Start(t, host.Options{Config: c.config, Folder: string(rune('a' + i))})
		id := h.Sleeper(h.Pod())
		address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"echo", "hello"}, Stdout: true})
		if !strings.HasPrefix(address, c.prefix) {
			t.Errorf("%q gives %s", c.config, address)
		}
		s := open(t, "spdy", address, streams{})
		if code := s.end(); code != 0 || s.out.String() != "hello\n" {
			t.Errorf("%q: code %d, %q", c.config, code, s.out)
		}
	}
}
