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

func TestStreamMemoryIsBounded(t *testing.T) {
	if host.IsPeer() || os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped daemon's")
	}
	wantBoundedMemory(t, host.Start(t, host.Options{Config: "[streaming]\n" + bounding}), nil, nil)
}

// TLS has its own state and a second thread a connection.
func TestStreamTlsMemoryIsBounded(t *testing.T) {
	if os.Getenv("CRISP_FLAVOUR") != "system" {
		t.Skip("the figure is the shipped daemon's")
	}
	a := newAuthority(t)
	h, _, _ := secure(t, a, bounding)
	// A record of 16 KiB, but for its last byte: TLS must have all of it before it gives any.
	wantBoundedMemory(t, h, a.trusted(), func(r *raw) {
		io.WriteString(r.Conn.(*tls.Conn).NetConn(), "\x17\x03\x03\x40\x11"+strings.Repeat("r", 16400))
	})
}

// wantBoundedMemory does the worst a connection can do, in four ways or five, 200 of them at once: the daemon pays at most 256 KiB
// for each.
func wantBoundedMemory(t *testing.T, h *host.Host, config *rest.Config, more func(r *raw)) {
	const bound = 256
	pod := h.Pod()
	id := h.Sleeper(pod)
	endlessServer(h, pod, 7000)
	piece := strings.Repeat("x", 60000)
	type way struct {
		url  streamURL
		wire string
		play func(r *raw)
	}
	ways := []way{
		{askExec("yes"), spdyExec, func(r *raw) { r.open("error", "stdin", "stdout") }}, // and never reads
		{askExec("sleep", "10000"), spdyExec, func(r *raw) {
			r.open("error", "stdin", "stdout")
			r.stuff(spdyData(3, piece))
		}},
		{askForward, spdyForward, func(r *raw) {
			pair(r, 1, "0", "7000")
			r.stuff(spdyData(3, piece))
		}},
		{askExec("cat"), spdyExec, func(r *raw) { // the largest frame there may be, but for its last byte
			io.WriteString(r, r.syn(1, "streamtype", "error")+be32(0x80030008, 65536)+strings.Repeat("h", 65535))
		}},
	}
	if more != nil {
		ways = append(ways, way{askExec("cat"), spdyExec, more})
	}
	each := 200 / len(ways)
	warm := upgrade(t, askExec("true")(h, pod, id), spdyExec)
	warm.open("error", "stdin", "stdout")
	for warm.frame() != "" {
	}
	warm.Close()
	descriptors := fmt.Sprintf("/proc/%d/fd/*", h.DaemonPid())
	fds, before := count(t, descriptors), private(t, h.DaemonPid())
	var clients []*raw
	var all sync.WaitGroup
	for range each {
		for _, way := range ways {
			r := upgrade(t, way.url(h, pod, id), way.wire)
			defer r.Close()
			clients = append(clients, r)
			all.Add(1)
			go func() {
				defer all.Done()
				way.play(r)
			}()
		}
	}
	all.Wait()
	after := private(t, h.DaemonPid())
	for steady := 0; steady < 5; steady++ {
		time.Sleep(100 * time.Millisecond)
		if now := private(t, h.DaemonPid()); now > after {
			after, steady = now, 0
		}
	}
	perConnection := (after - before) / (each * len(ways))
	t.Logf("%d KiB before, %d KiB with %d connections: %d KiB each", before, after, each*len(ways), perConnection)
	if perConnection > bound {
		t.Errorf("a connection costs %d KiB", perConnection)
	}
	other := shell(h, "spdy", id, "echo other", streams{stderr: true, config: config})
	if other.end(); other.out.String() != "other\n" {
		t.Errorf("another exec meanwhile: %q", other.out)
	}
	for _, r := range clients {
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
