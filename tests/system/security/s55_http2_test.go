package security

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const byGrpc = "" // ends such a connection itself

// What one client does on its connection. A write fails once the daemon has ended the connection.
type abuse struct {
	name   string
	reason string // why crispd ends the connection, or byGrpc
	how    int
	do     func(f *http2.Framer) error
}

const (
	unread  = 1 << iota // the client reads no answers
	settled             // it waits for the server's SETTINGS and acknowledges them
	busy                // as so many honest calls would, it takes all threads: other clients may be told so meanwhile
)

var abuses = []abuse{
	{"rapid reset", "resets", settled, func(f *http2.Framer) error { // CVE-2023-44487
		return repeat(10000, func(i int) error {
			openStream(f, i, false)
			return f.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
		})
	}},
	{"endless continuation", "header_block", 0, func(f *http2.Framer) error { // CVE-2023-33953 and its kin
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHeaders()})
		return repeat(20000, func(int) error { return f.WriteContinuation(1, false, make([]byte, 1000)) })
	}},
	{"empty continuations", "header_block", 0, func(f *http2.Framer) error {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHeaders()})
		return repeat(200000, func(int) error { return f.WriteContinuation(1, false, nil) })
	}},
	{"settings", "control_frames", unread, func(f *http2.Framer) error { // CVE-2019-9515
		return repeat(200000, func(i int) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		})
	}},
	{"priorities", "control_frames", 0, func(f *http2.Framer) error {
		return repeat(200000, func(i int) error { return f.WritePriority(uint32(2*i+1), http2.PriorityParam{Weight: 1}) })
	}},
	{"continuation alone", "block_order", 0, func(f *http2.Framer) error {
		return repeat(1000000, func(int) error { return f.WriteContinuation(1, true, nil) })
	}},
	{"no HTTP/2", "not_http2", 0, nil},
	{"garbage", byGrpc, 0, func(f *http2.Framer) error {
		return repeat(100, func(i int) error { return f.WriteRawFrame(http2.FrameType(i), 0xff, uint32(i), make([]byte, i*100)) })
	}},
	// Within the bounds of a block: each stream refers to one field of 4 KiB as often as it can (CVE-2016-1546's kind).
	{"header bombs", byGrpc, settled, func(f *http2.Framer) error {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(requestHeaders(), bigField()...), EndHeaders: true, EndStream: true})
		return repeat(100, func(i int) error {
			id, field := uint32(2*i+3), bytes.Repeat([]byte{0xbe}, 15000) // 0xbe: the newest field of the table
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: field, EndStream: true})
			f.WriteContinuation(id, false, field)
			f.WriteContinuation(id, false, field)
			return f.WriteContinuation(id, true, field)
		})
	}},
	{"number of streams not heard", "settings_not_heard", 0, func(f *http2.Framer) error {
		return repeat(10000, func(i int) error { return openStream(f, i, false) })
	}},
	{"streams left open", byGrpc, settled | busy, func(f *http2.Framer) error {
		return repeat(10000, func(i int) error { return openStream(f, i, false) })
	}},
	{"calls, answers not read", byGrpc, settled | busy | unread, func(f *http2.Framer) error {
		return repeat(100000, func(i int) error { return openStream(f, i, true) })
	}},
}

// CVE-2023-44487, CVE-2023-33953 and their kin, by four connections at once: the daemon ends them, keeps its memory and serves others
// meanwhile.
func TestS55HTTP2Abuse(t *testing.T) {
	h := host.Start(t, host.Options{})
	for _, a := range abuses {
		before := endedConnections(h, a.reason)
		atStart := peakOfMemory(t, h.DaemonPid(), true)
		stop := callsMeanwhile(h, a)
		var attackers sync.WaitGroup
		for range 4 {
			attackers.Go(func() { attack(t, h.Socket, a) })
		}
		attackers.Wait()
		calls := stop()
		grown := (peakOfMemory(t, h.DaemonPid(), false) - atStart) >> 20
		t.Logf("%s: the daemon's peak grew by %d MiB, another client made %d calls", a.name, grown, calls)
		if grown >= 32 {
			t.Errorf("%s: the daemon's peak grew by %d MiB", a.name, grown)
		}
		if ended := endedConnections(h, a.reason) - before; a.reason != "" && ended != 4 {
			t.Errorf("%s: %d connections ended for %s, not 4", a.name, ended, a.reason)
		}
	}
	if log, _ := os.ReadFile(h.LogFile); !strings.Contains(string(log), `reason="header_block"`) {
		t.Error("no word of it in the log")
	}
	for deadline := time.Now().Add(host.Limit); ; {
		_, err := h.TryPod(h.PodConfig())
		if err == nil {
			break
		}
		if status.Code(err) != codes.ResourceExhausted || time.Now().After(deadline) { // the last calls of the attack
			t.Fatalf("a pod afterwards: %v", err)
		}
	}
}

// Returns when the daemon has ended the connection, or all is sent and the client has gone.
func attack(t *testing.T, socket string, a abuse) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Errorf("%s: %v", a.name, err)
		return
	}
	defer conn.Close()
	limit := host.Limit
	if a.reason == byGrpc && a.how&unread != 0 {
		limit = 3 * time.Second // gRPC may as well read no more
	}
	conn.SetDeadline(time.Now().Add(limit))
	if a.do == nil {
		conn.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		io.Copy(io.Discard, conn)
		return
	}
	conn.Write([]byte(http2.ClientPreface))
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings()
	if a.how&settled != 0 {
		framer.ReadFrame()
		framer.WriteSettingsAck()
	}
	if a.how&unread == 0 {
		go io.Copy(io.Discard, conn)
	}
	if err := a.do(framer); err == nil && a.name != "header bombs" && a.name != "garbage" {
		t.Errorf("%s: all of it was taken", a.name)
	} else if err, ok := err.(net.Error); ok && err.Timeout() && limit == host.Limit {
		t.Errorf("%s: %v", a.name, err)
	}
}

func openStream(f *http2.Framer, number int, whole bool) error {
	id := uint32(2*number + 1)
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: requestHeaders(), EndHeaders: true})
	if whole {
		err = f.WriteData(id, true, make([]byte, 5)) // an empty message
	}
	return err
}

func repeat(times int, write func(int) error) error {
	for i := range times {
		if err := write(i); err != nil {
			return err
		}
	}
	return nil
}

// Calls one after the other until the answer is called, which says how many; each must succeed.
func callsMeanwhile(h *host.Host, a abuse) func() int {
	ctx, cancel := context.WithCancel(context.Background())
	made := make(chan int)
	go func() {
		calls := 0
		for ctx.Err() == nil || calls == 0 {
			_, err := h.Raw.ListPodSandbox(context.Background(), &v1.ListPodSandboxRequest{})
			if err == nil {
				calls++
			} else if a.how&busy == 0 || status.Code(err) != codes.ResourceExhausted {
				h.Errorf("%s: another client meanwhile: %v", a.name, err)
				break
			}
		}
		made <- calls
	}()
	return func() int { cancel(); return <-made }
}

// The highest resident size since the last call with `anew`.
func peakOfMemory(t *testing.T, pid int, anew bool) int {
	if anew {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, line, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

func endedConnections(h *host.Host, reason string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.State+"/debug.sock")
		}}}
	reply, err := client.Get("http://crisp/metrics")
	if err != nil {
		h.Fatal(err)
	}
	defer reply.Body.Close()
	text, _ := io.ReadAll(reply.Body)
	_, rest, _ := strings.Cut(string(text), fmt.Sprintf("crisp_cri_http2_ended_total{reason=%q} ", reason))
	number, _, _ := strings.Cut(rest, "\n")
	count, _ := strconv.Atoi(number)
	return count
}

// Messages of 15 MiB, hundreds of calls at once, and calls that time out together: what a kubelet may do is no abuse.
func TestS55HonestClients(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	ctx := context.Background()
	for range 5 {
		if _, err := h.Raw.Version(ctx, &v1.VersionRequest{Version: strings.Repeat("v", 15<<20)}); err != nil {
			t.Errorf("a request of 15 MiB: %v", err)
		}
		reply, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"head", "-c", "15000000", "/dev/zero"}})
		if err != nil || len(reply.Stdout) != 15000000 {
			t.Errorf("an answer of 15 MB: %d bytes, %v", len(reply.GetStdout()), err)
		}
	}
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			for range 50 {
				if _, err := h.Raw.ListContainers(ctx, &v1.ListContainersRequest{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	calls.Wait()
	pings(t, h.Socket)
	for range 50 {
		calls.Go(func() {
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			h.Raw.ExecSync(short, &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "1000"}, Timeout: 1})
		})
	}
	calls.Wait()
	if _, err := h.Raw.Version(ctx, &v1.VersionRequest{}); err != nil {
		t.Error(err)
	}
	for _, reason := range []string{"resets", "header_block", "control_frames", "block_order", "not_http2", "settings_not_heard"} {
		if n := endedConnections(h, reason); n != 0 {
			t.Errorf("%d connections ended for %s", n, reason)
		}
	}
}

// What grpc-go's estimate of the bandwidth may send.
func pings(t *testing.T, socket string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(host.Limit))
	conn.Write([]byte(http2.ClientPreface))
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings()
	go repeat(20000, func(int) error { return framer.WritePing(false, [8]byte{}) })
	for answers := 0; answers < 20000; {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("after %d pings: %v", answers, err)
		}
		if frame.Header().Type == http2.FramePing {
			answers++
		}
	}
}

// A field of about 4 KiB, as one that is kept in the table.
func bigField() []byte {
	var block blockWriter
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x-big", Value: strings.Repeat("a", 3900)})
	return block
}

func requestHeaders() []byte {
	var block blockWriter
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", "/runtime.v1.RuntimeService/Version"},
		{":authority", "localhost"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return block
}

type blockWriter []byte

func (w *blockWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
