package streaming

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// drop opens a connection to the URL and lets go of it at one of its stages.
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
	request := "GET " + target.Path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
	switch stage {
	case 1:
		return nil
	case 2:
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
	if stage == 5 { // in the middle of a frame of ours
		_, err = conn.Write([]byte{0x82, 0xfe, 0x10})
	}
	return err
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
	before := h.ExecOut(id, "while set -- /proc/[0-9]*; [ $# -lt 3 ]; do :; done; echo $#")
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
					err = drop(address, i/len(ask)%6)
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
	if out := h.ExecOut(id, "i=0; while set -- /proc/[0-9]*; [ $# -gt "+before+" -a $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; echo $#"); out != before {
		t.Errorf("%s processes in the container, %s before", out, before)
	}
}
