package streaming

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/spdystream/spdy"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const droppedSocket = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"

// drop opens a connection to the URL and lets go of it at one of its stages, 0 to 9.
func drop(address string, stage int) error {
	target, err := url.Parse(address)
	if err != nil || stage == 0 { // 0: nobody comes for it
		return err
	}
	conn, err := net.DialTimeout("tcp", target.Host, host.Limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(host.Limit))
	request := "GET " + target.Path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
	switch {
	case stage == 1:
		return nil
	case stage >= 6:
		version := "v4.channel.k8s.io"
		if strings.HasPrefix(target.Path, "/portforward/") {
			version = "portforward.k8s.io"
		}
		request += "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: " + version + "\r\n\r\n"
	default:
		request += droppedSocket
	}
	if stage == 2 {
		request = request[:len(request)/2]
	}
	if _, err := conn.Write([]byte(request)); err != nil || stage <= 3 {
		return err // 3: not even the answer is waited for
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if reply.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("%s", reply.Status)
	}
	switch {
	case stage == 5: // in the middle of a frame of ours
		_, err = conn.Write([]byte{0x82, 0xfe, 0x10})
	case stage > 6: // 6: before the first stream
		_, err = io.WriteString(conn, spdyOpening(target.Path, stage))
	}
	return err
}

// spdyOpening opens streams: 7 the first of them, 8 all, 9 all and begins a data frame.
func spdyOpening(path string, stage int) string {
	names := []string{"error", "stdin", "stdout", "stderr"}
	if strings.HasPrefix(path, "/portforward/") {
		names = []string{"error", "data"}
	}
	if stage == 7 {
		names = names[:1]
	}
	var out bytes.Buffer
	framer, _ := spdy.NewFramer(&out, nil)
	for i, name := range names {
		headers := http.Header{"Streamtype": {name}, "Requestid": {"0"}, "Port": {"80"}}
		framer.WriteFrame(&spdy.SynStreamFrame{StreamId: spdy.StreamId(2*i + 1), Headers: headers})
	}
	if stage == 9 {
		out.WriteString(be32(3, 1000) + "some")
	}
	return out.String()
}

// A thousand connections that end at any stage leave no process, no descriptor, no thread: what is left is found by the
// leak check at the end, and the processes of the container are counted here.
func TestStreamThousandDropped(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\nhangup_grace_ms = 100\n"})
	pod := h.Pod()
	id := h.Sleeper(pod, interactive(false, false))
	before := restingProcesses(h, id)
	ctx := context.Background()
	ask := []func() (string, error){
		func() (string, error) {
			reply, err := h.Raw.Exec(ctx, &v1.ExecRequest{ContainerId: id, Cmd: []string{"cat"}, Stdin: true, Stdout: true})
			return reply.GetUrl(), err
		},
		func() (string, error) {
			reply, err := h.Raw.Exec(ctx, &v1.ExecRequest{ContainerId: id, Cmd: []string{"yes"}, Tty: true, Stdout: true})
			return reply.GetUrl(), err
		},
		func() (string, error) {
			reply, err := h.Raw.Attach(ctx, &v1.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
			return reply.GetUrl(), err
		},
		func() (string, error) {
			reply, err := h.Raw.PortForward(ctx, &v1.PortForwardRequest{PodSandboxId: pod.ID, Port: []int32{80}})
			return reply.GetUrl(), err
		},
	}
	next := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range next {
				address, err := ask[i%len(ask)]()
				if err == nil {
					err = drop(address, i/len(ask)%10)
				}
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		}()
	}
	for i := range 1000 {
		next <- i
	}
	close(next)
	all.Wait()
	wantProcesses(h, id, before)
}
