package streaming

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/moby/spdystream/spdy"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// raw is a client that says what no library would.
type raw struct {
	net.Conn
	t      testing.TB
	spdy   *spdy.Framer
	syns   bytes.Buffer
	socket bool   // WebSocket
	got    []byte // not yet looked at
}

// URLs of each kind for a case.
type streamURL func(h *host.Host, pod *host.Pod, id string) string

func askExec(command ...string) streamURL {
	return func(h *host.Host, _ *host.Pod, id string) string {
		return execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: command, Stdin: true, Stdout: true})
	}
}

func askTerminal(command ...string) streamURL {
	return func(h *host.Host, _ *host.Pod, id string) string {
		return execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: command, Stdin: true, Stdout: true, Tty: true})
	}
}

func askForward(h *host.Host, pod *host.Pod, _ string) string { return forwardURL(h, pod, 7000) }

func forwardURL(h *host.Host, pod *host.Pod, port int32) string {
	reply, err := h.Raw.PortForward(context.Background(), &v1.PortForwardRequest{PodSandboxId: pod.ID, Port: []int32{port}})
	if err != nil {
		h.Fatal(err)
	}
	return reply.Url
}

func dialRaw(t testing.TB, address string) (*raw, string) {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", target.Host, host.Limit)
	if err != nil {
		t.Fatal(err)
	}
	if target.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // who it is has tests of its own
	}
	conn.SetDeadline(time.Now().Add(2 * host.Limit))
	r := &raw{Conn: conn, t: t}
	r.spdy, _ = spdy.NewFramer(&r.syns, nil)
	return r, target.Path
}

// Close lets go of the connection; TLS would say good-bye first, and wait for it.
func (r *raw) Close() error {
	if secure, ok := r.Conn.(*tls.Conn); ok {
		return secure.NetConn().Close()
	}
	return r.Conn.Close()
}

const socketHead = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "

// upgrade agrees on a protocol, as "SPDY/3.1 v4.channel.k8s.io" or "websocket v5.channel.k8s.io".
func upgrade(t testing.TB, address, protocol string) *raw {
	t.Helper()
	r, path := dialRaw(t, address)
	wire, name, _ := strings.Cut(protocol, " ")
	r.socket = wire == "websocket"
	head := "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: "
	if r.socket {
		head = socketHead
	}
	fmt.Fprintf(r, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n%s%s\r\n\r\n", path, head, name)
	answer := r.until("\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 101 ") {
		t.Fatalf("the upgrade is answered %q", answer)
	}
	return r
}

// until reads up to and with the text.
func (r *raw) until(text string) string {
	r.t.Helper()
	for {
		if at := bytes.Index(r.got, []byte(text)); at >= 0 {
			head := string(r.got[:at+len(text)])
			r.got = r.got[at+len(text):]
			return head
		}
		if !r.more() {
			r.t.Fatalf("the connection ends before %q; there is %q", text, r.got)
		}
	}
}

// more reads once; false at the end of the connection.
func (r *raw) more() bool {
	r.t.Helper()
	data := make([]byte, 65536)
	n, err := r.Read(data)
	r.got = append(r.got, data[:n]...)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		r.t.Fatalf("the server says and does nothing; there is %q", r.got)
	}
	return err == nil
}

// frame is the next one of the server: "SYN_REPLY 1", "DATA 3 [hello]", "DATA 3 FIN", "RST 5 3", "PING 1", "GOAWAY 1"; of
// WebSocket "2 [\x01hello]", "close 1002", "10 [pong]". "" is the end of the connection.
func (r *raw) frame() string {
	r.t.Helper()
	for {
		text, size := spdyFrame(r.got)
		if r.socket {
			text, size = socketFrame(r.got)
		}
		if size > 0 {
			r.got = r.got[size:]
			return text
		}
		if !r.more() {
			return ""
		}
	}
}

// skipTo reads up to and with the frame.
func (r *raw) skipTo(want string) {
	r.t.Helper()
	for got := r.frame(); got != want; got = r.frame() {
		if got == "" {
			r.t.Fatalf("%q has not come, the connection has ended", want)
		}
	}
}

func spdyFrame(data []byte) (string, int) {
	if len(data) < 8 {
		return "", 0
	}
	size := 8 + int(binary.BigEndian.Uint32(data[4:])&0xffffff)
	if len(data) < size {
		return "", 0
	}
	number := func(at int) uint32 { return binary.BigEndian.Uint32(data[at:]) & 0x7fffffff }
	if data[0]&0x80 == 0 {
		if data[4]&1 != 0 {
			return fmt.Sprintf("DATA %d FIN", number(0)), size
		}
		return fmt.Sprintf("DATA %d [%s]", number(0), data[8:size]), size
	}
	switch binary.BigEndian.Uint16(data[2:]) {
	case 2:
		return fmt.Sprintf("SYN_REPLY %d", number(8)), size
	case 3:
		return fmt.Sprintf("RST %d %d", number(8), number(12)), size
	case 6:
		return fmt.Sprintf("PING %d", number(8)), size
	case 7:
		return fmt.Sprintf("GOAWAY %d", number(12)), size
	}
	return "?", size
}

func socketFrame(data []byte) (string, int) {
	if len(data) < 2 {
		return "", 0
	}
	size, at := int(data[1]&0x7f), 2
	if size == 126 && len(data) >= 4 {
		size, at = int(binary.BigEndian.Uint16(data[2:])), 4
	} else if size == 127 && len(data) >= 10 {
		size, at = int(binary.BigEndian.Uint64(data[2:])), 10
	} else if size > 125 {
		return "", 0
	}
	if len(data) < at+size {
		return "", 0
	}
	body := data[at : at+size]
	if data[0]&15 == 8 && size >= 2 {
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16(body)), at + size
	}
	return fmt.Sprintf("%d [%s]", data[0]&15, body), at + size
}

// syn is a SYN_STREAM with these headers; its block continues those before it.
func (r *raw) syn(id uint32, headers ...string) string {
	r.t.Helper()
	all := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		all.Set(headers[i], headers[i+1])
	}
	r.syns.Reset()
	if err := r.spdy.WriteFrame(&spdy.SynStreamFrame{StreamId: spdy.StreamId(id), Headers: all}); err != nil {
		r.t.Fatal(err)
	}
	return r.syns.String()
}

// headers is a HEADERS frame; its block continues those before it.
func (r *raw) headers(id uint32, name, value string) string {
	r.t.Helper()
	r.syns.Reset()
	if err := r.spdy.WriteFrame(&spdy.HeadersFrame{StreamId: spdy.StreamId(id), Headers: http.Header{name: {value}}}); err != nil {
		r.t.Fatal(err)
	}
	return r.syns.String()
}

// open opens an exec's streams: 1 error, 3 stdin, 5 stdout, and 7 resize with a terminal.
func (r *raw) open(types ...string) {
	r.t.Helper()
	for i, name := range types {
		io.WriteString(r, r.syn(uint32(2*i+1), "streamtype", name))
		if got, want := r.frame(), fmt.Sprint("SYN_REPLY ", 2*i+1); got != want {
			r.t.Fatalf("stream %s: %q", name, got)
		}
	}
}

func be32(numbers ...uint32) string {
	var out []byte
	for _, n := range numbers {
		out = binary.BigEndian.AppendUint32(out, n)
	}
	return string(out)
}

func control(kind uint32, body string) string { return be32(0x80030000|kind, uint32(len(body))) + body }

func spdyData(id uint32, text string) string { return be32(id, uint32(len(text))) + text }

func masked(first byte, text string) string {
	head := []byte{first, 0x80 | byte(len(text))}
	if len(text) > 125 {
		head = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(len(text)))
	}
	out := append(head, 1, 2, 3, 4)
	for i := range len(text) {
		out = append(out, text[i]^byte(i%4+1))
	}
	return string(out)
}
