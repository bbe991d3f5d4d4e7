package streaming

import (
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"crisp.test/tests/system/host"
)

var privateLine = regexp.MustCompile(`(?m)^Private_(?:Clean|Dirty):\s+(\d+) kB$`)

// private is what the process alone has resident, in KiB: heap with its arenas, stacks, data.
func private(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, match := range privateLine.FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(match[1]))
		sum += n
	}
	return sum
}

// stuff sends until nothing goes any more.
func (r *raw) stuff(text string) {
	for err := error(nil); err == nil; {
		r.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		_, err = io.WriteString(r, text)
	}
}

const bounding = "on_disconnect = \"kill\"\n[network]\npool_size = 0\n"

// memoryWay is one way to make a connection hold as much as it can.
type memoryWay struct {
	name string
	url  streamURL
	wire string
	play func(r *raw)
}

var (
	memoryPiece = strings.Repeat("x", 60000)
	largeFrame  = be32(0x80030008, 16384) + strings.Repeat("h", 16383) // the largest there may be, but for its last byte
	memoryWays  = []memoryWay{
		{"output that nobody reads", askExec("yes"), spdyExec, func(r *raw) { r.open("error", "stdin", "stdout") }},
		{"stdin that nobody reads", askExec("sleep", "10000"), spdyExec, func(r *raw) {
			r.open("error", "stdin", "stdout")
			r.stuff(spdyData(3, memoryPiece))
		}},
		{"port-forward, neither reads", askForward, spdyForward, func(r *raw) {
			pair(r, 1, "0", "7000")
			r.stuff(spdyData(3, memoryPiece))
		}},
		{"a frame", askExec("cat"), spdyExec, func(r *raw) { io.WriteString(r, r.syn(1, "streamtype", "error")+largeFrame) }},
		{"early stdin and a frame", askExec("cat"), spdyExec, func(r *raw) {
			io.WriteString(r, r.syn(1, "streamtype", "stdin")+spdyData(1, memoryPiece[:16384])+largeFrame)
		}},
		{"base64, neither reads", askExec("yes"), socketB64, func(r *raw) {
			r.stuff(masked(0x81, "0"+strings.Repeat("A", 60000)))
		}},
	}
)

func TestStreamMemoryIsBounded(t *testing.T) {
	if host.IsPeer() || os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped daemon's")
	}
	for _, way := range memoryWays {
		t.Run(way.name, func(t *testing.T) {
			way.bounded(t, host.Start(t, host.Options{Config: "[streaming]\n" + bounding}), nil)
		})
	}
}

// TLS has its own state and a second thread a connection.
func TestStreamTlsMemoryIsBounded(t *testing.T) {
	if os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped daemon's")
	}
	// A record of 16 KiB, but for its last byte: TLS must have all of it before it gives any.
	record := memoryWay{"a record", askExec("cat"), spdyExec, func(r *raw) {
		io.WriteString(r.Conn.(*tls.Conn).NetConn(), "\x17\x03\x03\x40\x11"+strings.Repeat("r", 16400))
	}}
	a := newAuthority(t)
	for _, way := range []memoryWay{memoryWays[2], memoryWays[5], record} { // the others cost less
		t.Run(way.name, func(t *testing.T) {
			h, _, _ := secure(t, a, bounding)
			way.bounded(t, h, a.trusted())
		})
	}
}

// A forwarded connection costs little beside its session's.
func TestStreamForwardMemoryIsBounded(t *testing.T) {
	if host.IsPeer() || os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped daemon's")
	}
	const sessions, each, bound = 4, 1000, 1024 // bytes
	h := host.Start(t, host.Options{Config: "[streaming]\n" + bounding})
	pod := h.Pod()
	echoServer(h, pod, 7000)
	forwarded := func(r *raw, i uint32) {
		pair(r, 4*i+1, fmt.Sprint(i), "7000")
		io.WriteString(r, spdyData(4*i+3, "x"))
		r.skipTo(fmt.Sprintf("DATA %d [x]", 4*i+3))
	}
	var open []*raw
	for range sessions {
		r := upgrade(t, askForward(h, pod, ""), spdyForward)
		defer r.Close()
		forwarded(r, 0)
		open = append(open, r)
	}
	before := private(t, h.DaemonPid())
	for _, r := range open {
		for i := range uint32(each) {
			forwarded(r, i+1)
		}
	}
	after := private(t, h.DaemonPid())
	cost := (after - before) * 1024 / (sessions * each)
	t.Logf("%d KiB before, %d KiB after: %d bytes a forwarded connection", before, after, cost)
	if cost > bound {
		t.Errorf("a forwarded connection costs %d bytes", cost)
	}
}

// bounded has fifty clients do it at once: the daemon pays at most 256 KiB for each.
func (w memoryWay) bounded(t *testing.T, h *host.Host, config *rest.Config) {
	const clients, bound = 50, 256
	pod := h.Pod()
	id := h.Sleeper(pod)
	endlessServer(h, pod, 7000)
	warm := upgrade(t, askExec("true")(h, pod, id), spdyExec)
	warm.open("error", "stdin", "stdout")
	for warm.frame() != "" {
	}
	warm.Close()
	descriptors := fmt.Sprintf("/proc/%d/fd/*", h.DaemonPid())
	fds, before := count(t, descriptors), private(t, h.DaemonPid())
	var open []*raw
	var all sync.WaitGroup
	for range clients {
		r := upgrade(t, w.url(h, pod, id), w.wire)
		defer r.Close()
		open = append(open, r)
		all.Add(1)
		go func() {
			defer all.Done()
			w.play(r)
		}()
	}
	all.Wait()
	after := private(t, h.DaemonPid())
	for steady := 0; steady < 5; steady++ {
		time.Sleep(100 * time.Millisecond)
		if now := private(t, h.DaemonPid()); now > after {
			after, steady = now, 0
		}
	}
	each := (after - before) / clients
	t.Logf("%d KiB before, %d KiB with %d connections: %d KiB each", before, after, clients, each)
	if each > bound {
		t.Errorf("a connection costs %d KiB", each)
	}
	other := shell(h, "spdy", id, "echo other", streams{stderr: true, config: config})
	if other.end(); other.out.String() != "other\n" {
		t.Errorf("another exec meanwhile: %q", other.out)
	}
	for _, r := range open {
		r.Close()
	}
	for deadline := time.Now().Add(host.Limit); count(t, descriptors) > fds; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", count(t, descriptors), fds)
		}
	}
}

// endlessServer sends as much as goes and reads nothing.
func endlessServer(h *host.Host, pod *host.Pod, port int) {
	h.Helper()
	listener := podListener(h, pod, port)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for data := make([]byte, 65536); ; {
					if _, err := conn.Write(data); err != nil {
						return
					}
				}
			}()
		}
	}()
}
