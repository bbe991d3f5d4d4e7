package streaming

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// rawCase is one row of the streaming cases of docs/design/streaming.md: what a client says, and what must come of it.
type rawCase struct {
	name  string
	url   streamURL
	wire  string
	play  func(r *raw) // after the upgrade
	wants []string     // frames that come in this order, others between them
	on    bool         // the session goes on afterwards; else the server ends the connection
}

const (
	spdyExec    = "SPDY/3.1 v4.channel.k8s.io"
	spdyForward = "SPDY/3.1 portforward.k8s.io"
	socketV5    = "websocket v5.channel.k8s.io"
	socketB64   = "websocket v4.base64.channel.k8s.io"
)

func say(text string) func(*raw) {
	return func(r *raw) { io.WriteString(r, text) }
}

// running says it to an exec that runs.
func running(text string) func(*raw) {
	return func(r *raw) {
		r.open("error", "stdin", "stdout")
		io.WriteString(r, text)
	}
}

// pair opens a forwarded connection.
func pair(r *raw, id uint32, request, port string) {
	headers := []string{"requestid", request, "port", port, "streamtype"}
	io.WriteString(r, r.syn(id, append(headers, "error")...)+r.syn(id+2, append(headers, "data")...))
}

func forwarding(port string) func(*raw) {
	return func(r *raw) { pair(r, 1, "0", port) }
}

var rawCases = []rawCase{
	{"spdy: garbage", askExec("cat"), spdyExec, running(strings.Repeat("\xff", 64)), []string{"GOAWAY 1"}, false},
	// "GET " is a stream that never was, " HT" the length of its data: 2,115,668 bytes.
	{"spdy: HTTP again", askExec("cat"), spdyExec, running("GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 0x204854-10)), []string{"RST 1195725856 2"}, true},
	{"spdy: version 2", askExec("cat"), spdyExec, running(be32(0x80020006, 4, 1)), []string{"GOAWAY 1"}, false},
	{"spdy: control frame over 16 KiB", askExec("cat"), spdyExec, running(be32(0x80030001, 16385)), []string{"GOAWAY 1"}, false},
	{"spdy: control frame of 16 MiB", askExec("cat"), spdyExec, running(be32(0x80030008, 0xffffff)), []string{"GOAWAY 1"}, false},
	{"spdy: header bomb", askExec("cat"), spdyExec, func(r *raw) {
		io.WriteString(r, r.syn(1, "streamtype", strings.Repeat("a", 10<<20)))
	}, []string{"GOAWAY 1"}, false},
	{"spdy: 10,000 headers", askExec("cat"), spdyExec, func(r *raw) {
		var many []string
		for i := range 10000 {
			many = append(many, fmt.Sprint("a", i), "b")
		}
		io.WriteString(r, r.syn(1, many...))
	}, []string{"GOAWAY 1"}, false},
	{"spdy: headers not deflated", askExec("cat"), spdyExec, say(control(1, be32(1, 0)+"\x00\x00plain text")), []string{"GOAWAY 1"}, false},
	{"spdy: stream id again", askExec("cat"), spdyExec, func(r *raw) {
		r.open("error")
		io.WriteString(r, r.syn(1, "streamtype", "stdin"))
	}, []string{"GOAWAY 1"}, false},
	{"spdy: stream id even", askExec("cat"), spdyExec, func(r *raw) { io.WriteString(r, r.syn(2, "streamtype", "error")) }, []string{"GOAWAY 1"}, false},
	{"spdy: stream id 0", askExec("cat"), spdyExec, func(r *raw) {
		syn := r.syn(1, "streamtype", "error")
		io.WriteString(r, syn[:8]+be32(0)+syn[12:])
	}, []string{"GOAWAY 1"}, false},
	{"spdy: stream ids fall", askExec("cat"), spdyExec, func(r *raw) {
		io.WriteString(r, r.syn(7, "streamtype", "error")+r.syn(5, "streamtype", "stdin"))
	}, []string{"SYN_REPLY 7", "GOAWAY 1"}, false},
	{"spdy: data on stream 0", askExec("cat"), spdyExec, running(spdyData(0, "x")), []string{"GOAWAY 1"}, false},
	{"spdy: data before its stream", askExec("cat"), spdyExec, func(r *raw) {
		io.WriteString(r, spdyData(3, "x"))
		if got := r.frame(); got != "RST 3 2" {
			r.t.Errorf("answered %q", got)
		}
		r.open("error", "stdin", "stdout")
	}, nil, true},
	{"spdy: data of a stream that never was", askExec("cat"), spdyExec, running(spdyData(99, "x")), []string{"RST 99 2"}, true},
	{"spdy: two stdins", askExec("cat"), spdyExec, func(r *raw) {
		r.open("error", "stdin")
		io.WriteString(r, r.syn(5, "streamtype", "stdin")+r.syn(7, "streamtype", "stdout")+spdyData(3, "word"))
	}, []string{"RST 5 3", "SYN_REPLY 7", "DATA 7 [word]"}, true},
	{"spdy: unknown stream type", askExec("cat"), spdyExec, func(r *raw) { io.WriteString(r, r.syn(1, "streamtype", "what")) }, []string{"RST 1 3"}, true},
	{"spdy: stream without type", askExec("cat"), spdyExec, func(r *raw) { io.WriteString(r, r.syn(1, "a", "b")) }, []string{"RST 1 3"}, true},
	{"spdy: stream that was not asked for", askExec("cat"), spdyExec, func(r *raw) { io.WriteString(r, r.syn(1, "streamtype", "stderr")) }, []string{"RST 1 3"}, true},
	{"spdy: streams in another order", askExec("echo", "hello"), spdyExec, func(r *raw) { r.open("stdout", "stdin", "error") }, []string{"DATA 1 [hello\n]", "GOAWAY 0"}, false},
	{"spdy: stdin before the last stream", askExec("head", "-n1"), spdyExec, func(r *raw) {
		io.WriteString(r, r.syn(1, "streamtype", "stdin")+spdyData(1, "early\n")+r.syn(3, "streamtype", "error")+r.syn(5, "streamtype", "stdout"))
	}, []string{"DATA 5 [early\n]", "GOAWAY 0"}, false},
	{"spdy: 2^31 settings", askExec("cat"), spdyExec, running(control(4, be32(0x80000000))), nil, true},
	{"spdy: window of 2^31", askExec("cat"), spdyExec, running(control(9, be32(3, 0x80000000))), nil, true},
	{"spdy: ping flood", askExec("cat"), spdyExec, func(r *raw) {
		r.open("error", "stdin", "stdout")
		go io.WriteString(r, strings.Repeat(control(6, be32(1)), 20000))
		for i := range 20000 {
			if got := r.frame(); got != "PING 1" {
				r.t.Fatalf("answer %d is %q", i, got)
			}
		}
	}, nil, true},
	{"spdy: ping of a wrong length", askExec("cat"), spdyExec, running(control(6, "abc")), []string{"GOAWAY 1"}, false},
	{"spdy: RST of a stream that never was", askExec("cat"), spdyExec, running(control(3, be32(99, 5))), nil, true},
	{"spdy: RST of stdout", askExec("cat"), spdyExec, running(control(3, be32(5, 5)) + spdyData(3, "word")), nil, true},
	{"spdy: RST of the error stream", askExec("cat"), spdyExec, running(control(3, be32(1, 5))), []string{"GOAWAY 0"}, false},
	{"spdy: GOAWAY", askExec("cat"), spdyExec, running(control(7, be32(0, 0))), nil, false},
	{"spdy: GOAWAY and on", askExec("cat"), spdyExec, func(r *raw) {
		r.open("error")
		io.WriteString(r, control(7, be32(0, 0))+r.syn(3, "streamtype", "stdin"))
	}, nil, false},
	{"spdy: sizes of a terminal", askTerminal("sh", "-c", "until [ \"$(stty size)\" = '9998 9999' ]; do sleep 0.02; done; echo sized"), spdyExec, func(r *raw) {
		r.open("error", "stdin", "stdout", "resize")
		for _, size := range []string{"0,\"Height\":0", "-1,\"Height\":-1", "70000,\"Height\":5", "1e9,\"Height\":1", "\"x\",\"Height\":{}"} {
			io.WriteString(r, spdyData(7, `{"Width":`+size+`}`))
		}
		io.WriteString(r, spdyData(7, strings.Repeat(`{"Width":7,"Height":7}`, 50000)))
		io.WriteString(r, spdyData(7, "\x00{{{[\"}"+`{"Width":65535,"Height":65535}`+`{"Width":9999,"Height":9998}`))
	}, []string{"GOAWAY 0"}, false},
	{"websocket: not masked", askExec("cat"), socketV5, say("\x82\x01x"), []string{"close 1002"}, false},
	{"websocket: reserved bits", askExec("cat"), socketV5, say(masked(0xc2, "x")), []string{"close 1002"}, false},
	{"websocket: unknown opcode", askExec("cat"), socketV5, say(masked(0x83, "x")), []string{"close 1002"}, false},
	{"websocket: ping in parts", askExec("cat"), socketV5, say(masked(0x09, "x")), []string{"close 1002"}, false},
	{"websocket: long ping", askExec("cat"), socketV5, say(masked(0x89, strings.Repeat("x", 126))), []string{"close 1002"}, false},
	{"websocket: nothing to continue", askExec("cat"), socketV5, say(masked(0x80, "x")), []string{"close 1002"}, false},
	{"websocket: message in a message", askExec("cat"), socketV5, say(masked(0x02, "\x00x") + masked(0x82, "\x00x")), []string{"close 1002"}, false},
	{"websocket: message in parts", askExec("cat"), socketV5, say(masked(0x02, "\x00wo") + masked(0x89, "") + masked(0x80, "rd")), []string{"10 []"}, true},
	{"websocket: frame of 2^63 bytes", askExec("cat"), socketV5, say("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04"), []string{"close 1009"}, false},
	{"websocket: close without code", askExec("cat"), socketV5, say(masked(0x88, "")), []string{"8 []"}, false},
	{"websocket: close code of one byte", askExec("cat"), socketV5, say(masked(0x88, "x")), []string{"close 1002"}, false},
	{"websocket: close code 1005", askExec("cat"), socketV5, say(masked(0x88, "\x03\xed")), []string{"close 1002"}, false},
	{"websocket: close", askExec("cat"), socketV5, say(masked(0x88, "\x03\xe8bye")), []string{"close 1000"}, false},
	{"websocket: ping flood", askExec("cat"), socketV5, func(r *raw) {
		go io.WriteString(r, strings.Repeat(masked(0x89, "p"), 20000))
		for i := range 20001 { // the first says that the session stands
			if got := r.frame(); got != "10 [p]" && i > 0 {
				r.t.Fatalf("answer %d is %q", i, got)
			}
		}
	}, nil, true},
	{"websocket: unknown channels", askExec("cat"), socketV5, say(masked(0x82, "\x09x") + masked(0x82, "\xfex") + masked(0x82, "\x00word")), []string{"2 [\x01word]"}, true},
	{"websocket: not base64", askExec("cat"), socketB64, say(masked(0x81, "0***")), []string{"close 1007"}, false},
	{"websocket: base64 message over 64 KiB", askExec("sh", "-c", "head -c60000 | tr -d '\\0'"), socketB64, say(masked(0x81, "0"+strings.Repeat("A", 80000))), []string{"close 1000"}, false},
	{"websocket: base64 after its padding", askExec("cat"), socketB64, say(masked(0x81, "0aGVsbG8=aGVs")), []string{"close 1007"}, false},
	{"forward: request id of 65 bytes", askForward, spdyForward, func(r *raw) { pair(r, 1, strings.Repeat("7", 65), "7000") }, []string{"RST 1 3", "RST 3 3"}, true},
	{"forward: port 0", askForward, spdyForward, forwarding("0"), []string{"RST 1 3", "RST 3 3"}, true},
	{"forward: port -1", askForward, spdyForward, forwarding("-1"), []string{"RST 1 3", "RST 3 3"}, true},
	{"forward: port 65536", askForward, spdyForward, forwarding("65536"), []string{"RST 1 3", "RST 3 3"}, true},
	{"forward: port is a word", askForward, spdyForward, forwarding("http"), []string{"RST 1 3", "RST 3 3"}, true},
	{"forward: closed port", askForward, spdyForward, forwarding("7001"), []string{"DATA 1 [forward port 7001: connect to port 7001 on localhost: ECONNREFUSED (Connection refused)]", "RST 3 5"}, true},
	{"forward: third stream of a pair", askForward, spdyForward, func(r *raw) {
		pair(r, 1, "0", "7000")
		io.WriteString(r, r.syn(5, "requestid", "0", "port", "7000", "streamtype", "data")+spdyData(3, "word"))
	}, []string{"RST 5 3", "DATA 3 [word]"}, true},
	{"forward: RST of the data stream", askForward, spdyForward, func(r *raw) {
		pair(r, 1, "0", "7000")
		io.WriteString(r, control(3, be32(3, 5)))
		pair(r, 5, "1", "7000")
		io.WriteString(r, spdyData(7, "word"))
	}, []string{"DATA 7 [word]"}, true},
	{"forward: 1,000 at once", askForward, spdyForward, func(r *raw) {
		go func() {
			for i := range uint32(1000) {
				pair(r, 4*i+1, fmt.Sprint(i), "7000")
				io.WriteString(r, spdyData(4*i+3, fmt.Sprint(i)))
			}
		}()
		missing := map[string]bool{}
		for i := range 1000 {
			missing[fmt.Sprintf("DATA %d [%d]", 4*i+3, i)] = true
		}
		for len(missing) > 0 {
			frame := r.frame()
			if frame == "" {
				r.t.Fatalf("the connection ends; %d answers are missing", len(missing))
			}
			delete(missing, frame)
		}
	}, nil, true},
}

func count(t testing.TB, pattern string) int {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestStreamRawCases(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	// Without a pool of networks, which would open a namespace's descriptor in its own time.
	h := host.Start(t, host.Options{Config: "[streaming]\nhangup_grace_ms = 50\n[network]\npool_size = 0\n"})
	pod := h.Pod()
	id := h.Sleeper(pod)
	echoServer(h, pod, 7000)
	go echo(podListenerAt(h, pod, "[::1]:7006"))
	other := shell(h, "spdy", id, "while read x; do echo got $x; done", streams{stdin: true, stderr: true})
	defer func() { other.stdin.Close(); other.end() }()
	other.send("before\n")
	other.out.wait(t, "got before\n")
	daemon := fmt.Sprintf("/proc/%d/", h.DaemonPid())
	fds, threads, processes := count(t, daemon+"fd/*"), count(t, daemon+"task/*"), containerProcesses(h, id)
	for _, c := range append(rawCases, ruleCases...) {
		t.Run(c.name, func(t *testing.T) {
			r := upgrade(t, c.url(h, pod, id), c.wire)
			defer r.Close()
			c.play(r)
			c.judge(t, r)
			r.Close()
			other.send(c.name + "\n")
			other.out.wait(t, "got "+c.name+"\n")
			for deadline := time.Now().Add(host.Limit); ; time.Sleep(5 * time.Millisecond) {
				// gRPC keeps threads of its own at hand.
				f, th := count(t, daemon+"fd/*"), count(t, daemon+"task/*")
				if f <= fds && th <= threads+2 && containerProcesses(h, id) <= processes {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d descriptors, %d threads, %d processes in the container; before: %d, %d, %d",
						f, th, containerProcesses(h, id), fds, threads, processes)
				}
			}
		})
	}
	if err := h.Ping(); err != nil {
		t.Error(err)
	}
}

// containerProcesses counts what is in the container's pid namespace, but for what counts.
func containerProcesses(h *host.Host, id string) int {
	out := h.ExecOut(id, "set -- /proc/[0-9]*; echo $#")
	var n int
	fmt.Sscan(out, &n)
	return n
}

// judge reads what the case wants, then the end of the connection, or that it lives on.
func (c rawCase) judge(t *testing.T, r *raw) {
	t.Helper()
	var seen []string
	next := func() string {
		frame := r.frame()
		if len(seen) < 50 {
			seen = append(seen, frame)
		}
		return frame
	}
	for _, want := range c.wants {
		for got := next(); got != want; got = next() {
			if got == "" {
				t.Fatalf("%q has not come: %q", want, seen)
			}
		}
	}
	if !c.on {
		for next() != "" {
		}
		return
	}
	ping, pong := control(6, be32(77)), "PING 77"
	if r.socket {
		ping, pong = masked(0x89, "alive"), "10 [alive]"
	}
	io.WriteString(r, ping)
	for got := next(); got != pong; got = next() {
		if got == "" {
			t.Fatalf("the session has ended: %q", seen)
		}
	}
}

// What is refused at the door spends no URL and starts nothing.
func TestStreamRawHeads(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"touch", "/tmp/ran"}, Stdout: true})
	_, path := dialPath(t, address)
	token := path[len("/exec/"):]
	good := "Host: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
	for _, c := range []struct{ name, head, want string }{
		{"a token that never was", "GET /exec/" + strings.Repeat("A", 43) + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"cut short", "GET " + path[:len(path)-1] + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"longer", "GET " + path + "A HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"for attach", "GET /attach/" + token + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"for port-forward", "GET /portforward/" + token + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"another method", "PUT " + path + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"a path around it", "GET /x/.." + path + " HTTP/1.1\r\n" + good + "\r\n", "404"},
		{"HTTP/1.0", "GET " + path + " HTTP/1.0\r\n" + good + "\r\n", "400"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"},
		{"no HTTP", "\x80\x03\x00\x01\x00\x00\x00\x00\r\n\r\n", "400"},
		{"a body", "POST " + path + " HTTP/1.1\r\n" + good + "Content-Length: 5\r\n\r\nhello", "400"},
		{"a chunked body", "POST " + path + " HTTP/1.1\r\n" + good + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"two lengths", "POST " + path + " HTTP/1.1\r\n" + good + "Content-Length: 0\r\nContent-Length: 7\r\n\r\n", "400"},
		{"a length with a space", "POST " + path + " HTTP/1.1\r\n" + good + "Content-Length : 0\r\n\r\n", "400"},
		{"a folded header", "GET " + path + " HTTP/1.1\r\n" + good + " folded\r\n\r\n", "400"},
		{"a URL of 1 MiB", "GET /" + strings.Repeat("a", 1<<20) + " HTTP/1.1\r\n" + good + "\r\n", "431"},
		{"200 headers", "GET " + path + " HTTP/1.1\r\n" + good + strings.Repeat("A: b\r\n", 200) + "\r\n", "431"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := dialRaw(t, address)
			defer r.Close()
			go io.WriteString(r, c.head)
			if answer := r.until("\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 "+c.want+" ") {
				t.Errorf("answered %q", answer)
			}
		})
	}
	if code, err := open(t, "spdy", address, streams{}).result(); code != 0 || err != nil {
		t.Errorf("the URL after all that: %d, %v", code, err)
	}
	h.ExecOut(id, "ls /tmp/ran")
	// These know the URL: it is spent.
	for _, c := range []struct{ name, head, want string }{
		{"no upgrade", "Host: x\r\n", "400"},
		{"no connection's upgrade", "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n", "400"},
		{"another upgrade", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "400"},
		{"no version", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n", "400"},
		{"unknown version", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n", "403"},
		{"unknown subprotocol", "Connection: Upgrade\r\n" + socketHead + "chat\r\n", "403"},
		{"port-forward's subprotocol", "Connection: Upgrade\r\n" + socketHead + "SPDY/3.1+portforward.k8s.io\r\n", "403"},
		{"WebSocket version 8", "Connection: Upgrade\r\n" + strings.Replace(socketHead, ": 13", ": 8", 1) + "v4.channel.k8s.io\r\n", "426"},
		{"WebSocket without key", "Connection: Upgrade\r\n" + strings.Replace(socketHead, "dGhl", "", 1) + "v4.channel.k8s.io\r\n", "400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, want := range []string{c.want, "404"} {
				r, path := dialRaw(t, address)
				if want == c.want {
					r.Close()
					address = execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true})
					r, path = dialRaw(t, address)
				}
				fmt.Fprintf(r, "GET %s HTTP/1.1\r\n%s\r\n", path, c.head)
				if answer := r.until("\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 "+want+" ") {
					t.Errorf("answered %q, not %s", answer, want)
				}
				r.Close()
			}
		})
	}
}

func dialPath(t *testing.T, address string) (net.Conn, string) {
	r, path := dialRaw(t, address)
	r.Close()
	return r, path
}

// A thousand URLs may wait; the next one is refused, and the ones that wait stay good.
func TestStreamUrlsAreBounded(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	request := &v1.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true}
	var first string
	accepted := 0
	for ; accepted < 1001; accepted++ {
		reply, err := h.Raw.Exec(context.Background(), request)
		if err != nil {
			if !strings.Contains(err.Error(), "ResourceExhausted") || !strings.Contains(err.Error(), "1000 URLs") {
				t.Error(err)
			}
			break
		}
		if accepted == 0 {
			first = reply.Url
		}
	}
	if accepted != 1000 {
		t.Errorf("%d URLs were given out", accepted)
	}
	if code, err := open(t, "spdy", first, streams{}).result(); code != 0 || err != nil {
		t.Errorf("the first: %d, %v", code, err)
	}
	if _, err := h.Raw.Exec(context.Background(), request); err != nil {
		t.Errorf("after one was used: %v", err)
	}
}

// A pod that is removed ends what is forwarded to it and what runs in it.
func TestStreamPodRemovedDuring(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	echoServer(h, pod, 7000)
	r := upgrade(t, askForward(h, pod, id), spdyForward)
	defer r.Close()
	pair(r, 1, "0", "7000")
	io.WriteString(r, spdyData(3, "word"))
	r.skipTo("DATA 3 [word]")
	exec := upgrade(t, askExec("cat")(h, pod, id), spdyExec)
	defer exec.Close()
	exec.open("error", "stdin", "stdout")
	io.WriteString(exec, spdyData(3, "word"))
	exec.skipTo("DATA 5 [word]")
	h.RemovePod(pod.ID)
	exec.skipTo("DATA 1 [" + strings.ReplaceAll(exitSeven, "7", "137") + "]")
	for exec.frame() != "" {
	}
	pair(r, 5, "1", "7000")
	for got := r.frame(); !strings.HasPrefix(got, "DATA 5 [forward port 7000: "); got = r.frame() {
		if got == "" {
			t.Fatal("a pair to a removed pod is not told why it fails")
		}
	}
}
