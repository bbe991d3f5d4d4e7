package streaming

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// transports are the ways in which clients of Kubernetes reach a runtime's URL.
var transports = []string{"spdy", "websocket-v5", "websocket-v4"}

func executor(t testing.TB, config *rest.Config, transport, address string) remotecommand.Executor {
	t.Helper()
	var made remotecommand.Executor
	var err error
	switch transport {
	case "spdy":
		target, bad := url.Parse(address)
		if bad != nil {
			t.Fatal(bad)
		}
		made, err = remotecommand.NewSPDYExecutor(config, http.MethodPost, target)
	case "websocket-v5":
		made, err = remotecommand.NewWebSocketExecutor(config, http.MethodGet, address)
	default: // "spdy-v3": that version alone
		kind, version, _ := strings.Cut(transport, "-")
		name := strings.TrimPrefix(version+".channel.k8s.io", "v1.") // which had no number yet
		if kind == "websocket" {
			made, err = remotecommand.NewWebSocketExecutorForProtocols(config, http.MethodGet, address, name)
			break
		}
		target, _ := url.Parse(address)
		round, upgrader, bad := spdy.RoundTripperFor(config)
		if bad != nil {
			t.Fatal(bad)
		}
		made, err = remotecommand.NewSPDYExecutorForProtocols(round, upgrader, http.MethodPost, target, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// buffer is a bytes.Buffer that another goroutine may look at, and wait for.
type buffer struct {
	mu      sync.Mutex
	data    bytes.Buffer
	changed chan struct{}
}

func newBuffer() *buffer { return &buffer{changed: make(chan struct{}, 1)} }

func (b *buffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.data.Write(data)
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// wait returns once the text has come, or ends the test.
func (b *buffer) wait(t testing.TB, text string) {
	t.Helper()
	limit := time.After(host.Limit)
	for !strings.Contains(b.String(), text) {
		select {
		case <-b.changed:
		case <-limit:
			t.Fatalf("%q has not come; there is %q", text, b.String())
		}
	}
}

// sizes is a queue of window sizes; the test sends, and closes it at the end.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, more := <-s
	if !more {
		return nil
	}
	return &size
}

// session is one exec or attachment under way.
type session struct {
	t        testing.TB
	out, err *buffer
	stdin    *io.PipeWriter
	sizes    sizes
	cancel   context.CancelFunc
	done     chan error
}

type streams struct {
	stdin, stderr, tty bool
	out                io.Writer    // nil: session.out
	config             *rest.Config // nil: a plain one
}

// open starts a session; its end comes by end(), or cancel().
func open(t testing.TB, transport, address string, want streams) *session {
	t.Helper()
	config := want.config
	if config == nil {
		config = &rest.Config{}
	}
	made := executor(t, config, transport, address)
	ctx, cancel := context.WithTimeout(context.Background(), 2*host.Limit)
	s := &session{t: t, out: newBuffer(), err: newBuffer(), cancel: cancel, done: make(chan error, 1)}
	options := remotecommand.StreamOptions{Tty: want.tty, Stdout: s.out}
	if want.out != nil {
		options.Stdout = want.out
	}
	if want.stderr {
		options.Stderr = s.err
	}
	if want.stdin {
		var reader *io.PipeReader
		reader, s.stdin = io.Pipe()
		options.Stdin = reader
	}
	if want.tty {
		s.sizes = make(sizes)
		options.TerminalSizeQueue = s.sizes
	}
	go func() { s.done <- made.StreamWithContext(ctx, options) }()
	return s
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.stdin, text); err != nil {
		s.t.Fatalf("stdin: %v", err)
	}
}

// end waits for the end and returns the exit code; an error that is no exit code ends the test.
func (s *session) end() int {
	s.t.Helper()
	code, err := s.result()
	if err != nil {
		s.t.Fatalf("the session ended with %v; stdout %q, stderr %q", err, s.out, s.err)
	}
	return code
}

func (s *session) result() (int, error) {
	s.t.Helper()
	defer s.cancel()
	select {
	case err := <-s.done:
		var code exec.CodeExitError
		if errors.As(err, &code) {
			return code.Code, nil
		}
		return 0, err
	case <-time.After(2 * host.Limit):
		s.t.Fatalf("the session does not end; stdout %q, stderr %q", s.out, s.err)
		return 0, nil
	}
}

// execURL asks for an exec.
func execURL(h *host.Host, request *v1.ExecRequest) string {
	h.Helper()
	reply, err := h.Raw.Exec(context.Background(), request)
	if err != nil {
		h.Fatalf("Exec: %v", err)
	}
	return reply.Url
}

// shell runs a script with the streams.
func shell(h *host.Host, transport, id, script string, want streams) *session {
	h.Helper()
	address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", script},
		Tty: want.tty, Stdin: want.stdin, Stdout: true, Stderr: want.stderr})
	return open(h, transport, address, want)
}

func attach(h *host.Host, transport, id string, want streams) *session {
	h.Helper()
	reply, err := h.Raw.Attach(context.Background(), &v1.AttachRequest{ContainerId: id, Tty: want.tty,
		Stdin: want.stdin, Stdout: true, Stderr: want.stderr})
	if err != nil {
		h.Fatalf("Attach: %v", err)
	}
	return open(h, transport, reply.Url, want)
}
