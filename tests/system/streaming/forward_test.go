package streaming

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/httpstream"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// forwarder is client-go's, as kubectl and crictl use it.
type forwarder struct {
	ports  []portforward.ForwardedPort
	stop   chan struct{}
	done   chan error
	output *buffer
}

func dialer(t testing.TB, config *rest.Config, transport, address string) httpstream.Dialer {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if transport == "websocket" {
		made, err := portforward.NewSPDYOverWebsocketDialer(target, config)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	round, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return spdy.NewDialer(upgrader, &http.Client{Transport: round}, http.MethodPost, target)
}

func forward(h *host.Host, transport string, pod *host.Pod, ports ...int) *forwarder {
	h.Helper()
	return forwardAs(h, &rest.Config{}, transport, pod, ports...)
}

func forwardAs(h *host.Host, config *rest.Config, transport string, pod *host.Pod, ports ...int) *forwarder {
	h.Helper()
	reply, err := h.Raw.PortForward(context.Background(), &v1.PortForwardRequest{PodSandboxId: pod.ID})
	if err != nil {
		h.Fatalf("PortForward: %v", err)
	}
	f := &forwarder{stop: make(chan struct{}), done: make(chan error, 1), output: newBuffer()}
	var pairs []string
	for _, port := range ports {
		pairs = append(pairs, fmt.Sprintf("0:%d", port))
	}
	ready := make(chan struct{})
	made, err := portforward.NewOnAddresses(dialer(h, config, transport, reply.Url), []string{"127.0.0.1"}, pairs, f.stop, ready, f.output, f.output)
	if err != nil {
		h.Fatal(err)
	}
	go func() { f.done <- made.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-f.done:
		h.Fatalf("ForwardPorts: %v", err)
	case <-time.After(host.Limit):
		h.Fatal("port-forward does not become ready")
	}
	if f.ports, err = made.GetPorts(); err != nil {
		h.Fatal(err)
	}
	return f
}

func (f *forwarder) dial(t testing.TB, i int) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", f.ports[i].Local), host.Limit)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(2 * host.Limit))
	return conn
}

func (f *forwarder) end(t testing.TB) {
	t.Helper()
	close(f.stop)
	select {
	case <-f.done:
	case <-time.After(host.Limit):
		t.Error("port-forward does not end")
	}
}

// echo sends the data and wants it back, then the end.
func (f *forwarder) echo(t testing.TB, i int, data []byte) {
	t.Helper()
	conn := f.dial(t, i)
	defer conn.Close()
	go func() {
		conn.Write(data)
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("sent %d bytes, got %d back, %v", len(data), len(got), err)
	}
}

// echoServer listens in the pod's network and sends back what it gets.
func echoServer(h *host.Host, pod *host.Pod, port int) {
	h.Helper()
	go echo(podListener(h, pod, port))
}

// podListener listens on the pod's loopback; the test's end closes it.
func podListener(h *host.Host, pod *host.Pod, port int) net.Listener {
	h.Helper()
	return podListenerAt(h, pod, fmt.Sprintf("127.0.0.1:%d", port))
}

func podListenerAt(h *host.Host, pod *host.Pod, address string) net.Listener {
	h.Helper()
	status, err := h.Runtime.ContainerStatus(context.Background(), h.Sleeper(pod), true)
	if err != nil {
		h.Fatal(err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(status.Info["info"]), &info); err != nil || info.Pid == 0 {
		h.Fatalf("the pid in %q: %v", status.Info["info"], err)
	}
	listener, err := listenIn(fmt.Sprintf("/proc/%d/ns/net", info.Pid), address)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { listener.Close() })
	return listener
}

func echo(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(conn, conn)
			conn.Close()
		}()
	}
}

// listenIn makes the socket in another network namespace: it stays there.
func listenIn(namespace, address string) (net.Listener, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	if strings.HasPrefix(address, "[") { // the built-in network has no IPv6
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("0"), 0); err != nil {
			panic(err)
		}
	}
	listener, err := net.Listen("tcp", address)
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back)
	}
	return listener, err
}

func TestStreamPortForward(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	echoServer(h, pod, 7000)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, transport := range []string{"spdy", "websocket"} {
		f := forward(h, transport, pod, 7000)
		f.echo(t, 0, []byte("hello\n"))
		f.echo(t, 0, data)
		var all sync.WaitGroup
		for i := 0; i < 20; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				f.echo(t, 0, data[:(i+1)*5000])
			}()
		}
		all.Wait()
		f.end(t)
	}
}

// A connection that fails, or is broken off, does not end the others.
func TestStreamPortForwardOneBreaks(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	echoServer(h, pod, 7000)
	f := forward(h, "spdy", pod, 7000, 7001)
	stays := f.dial(t, 0)
	defer stays.Close()
	talk := func(text string) {
		t.Helper()
		fmt.Fprint(stays, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(stays, got); err != nil || string(got) != text {
			t.Errorf("the connection that stays: %q, %v", got, err)
		}
	}
	talk("before")
	broken := f.dial(t, 0)
	broken.(*net.TCPConn).SetLinger(0)
	broken.Close()
	talk("after a reset")
	f.end(t)

	// Nobody listens on 7001: the client is told.
	errors := newBuffer()
	handlers := utilruntime.ErrorHandlers
	defer func() { utilruntime.ErrorHandlers = handlers }()
	utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(_ context.Context, err error, _ string, _ ...interface{}) {
		fmt.Fprintln(errors, err)
	}}
	g := forward(h, "spdy", pod, 7001)
	refused := g.dial(t, 0)
	if got, err := io.ReadAll(refused); len(got) != 0 || os.IsTimeout(err) {
		t.Errorf("from a closed port: %q, %v", got, err)
	}
	refused.Close()
	errors.wait(t, "7001")
	errors.wait(t, "REFUSED")
	g.end(t)
}

// The pod's stop ends what is forwarded to it.
func TestStreamPortForwardPodStops(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"nc", "-ll", "-p", "7000", "-e", "cat"})
	h.ExecOut(id, "until grep -qi ':1B58 .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.01; done")
	f := forward(h, "spdy", pod, 7000)
	conn := f.dial(t, 0)
	defer conn.Close()
	fmt.Fprint(conn, "x")
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	h.StopPod(pod.ID)
	if got, err := io.ReadAll(conn); len(got) != 0 || os.IsTimeout(err) {
		t.Errorf("after the stop: %q, %v", got, err)
	}
	f.end(t)
}

func TestStreamPortForwardHostNetwork(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(host.HostNetwork)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go echo(listener)
	f := forward(h, "spdy", pod, listener.Addr().(*net.TCPAddr).Port)
	f.echo(t, 0, []byte("through the node's own network"))
	f.end(t)
}
