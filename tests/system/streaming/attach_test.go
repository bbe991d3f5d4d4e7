package streaming

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// waitLog returns once the container's log has the text.
func waitLog(h *host.Host, id, text string) {
	h.Helper()
	for deadline := time.Now().Add(host.Limit); !strings.Contains(host.Join(h.Lines(id), "stdout"), text); {
		if time.Now().After(deadline) {
			h.Fatalf("%q has not come to the log", text)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func interactive(once, tty bool) host.Container {
	return func(c *v1.ContainerConfig) { c.Stdin, c.StdinOnce, c.Tty = true, once, tty }
}

// Output from then on, the log complete; stdin_once: the end of the first client's stdin is the container's.
func TestStreamAttach(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, transport := range []string{"spdy", "websocket-v5"} {
		id := h.Run(pod, []string{"sh", "-c", "echo early; while read x; do printf \"got $x\"; echo bad >&2; done; echo end"}, interactive(true, false))
		waitLog(h, id, "early")
		s := attach(h, transport, id, streams{stdin: true, stderr: true})
		s.send("one\n")
		s.out.wait(t, "got one")
		s.send("two\n")
		s.out.wait(t, "got two")
		s.stdin.Close()
		if code := s.end(); code != 0 || s.out.String() != "got onegot twoend\n" || s.err.String() != "bad\nbad\n" {
			t.Errorf("%s: code %d, stdout %q, stderr %q", transport, code, s.out, s.err)
		}
		h.WaitExit(id)
		if out, _ := h.Written(id); out != "early\ngot onegot twoend" {
			t.Errorf("%s: log %q", transport, out)
		}
	}
}

// A client that goes leaves the container alone; one with stdin_once takes its stdin along.
func TestStreamAttachClientGone(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"sh", "-c", "while read x; do echo got $x; done; echo end"}, interactive(false, false))
	for _, word := range []string{"first", "second"} {
		s := attach(h, "spdy", id, streams{stdin: true, stderr: true})
		s.send(word + "\n")
		s.out.wait(t, "got "+word+"\n")
		s.cancel()
		<-s.done
	}
	if state := h.Status(id).State; state != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("state %v", state)
	}
	once := h.Run(pod, []string{"sh", "-c", "while read x; do echo got $x; done; echo end"}, interactive(true, false))
	s := attach(h, "spdy", once, streams{stdin: true, stderr: true})
	s.send("word\n")
	s.out.wait(t, "got word\n")
	s.cancel()
	<-s.done
	h.WaitExit(once)
	if out, _ := h.Written(once); out != "got word\nend" {
		t.Errorf("log %q", out)
	}
}

// Where the end of stdin is not the container's, it is how a client detaches (crictl's ctrl-P ctrl-Q): its session ends well, the
// container goes on, and so does its stdin.
func TestStreamAttachDetach(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, tty := range []bool{false, true} {
		id := h.Run(pod, []string{"sh", "-c", "while read x; do echo got $x; done"}, interactive(tty, tty))
		for _, transport := range []string{"spdy", "websocket-v5"} {
			s := attach(h, transport, id, streams{stdin: true, stderr: !tty, tty: tty})
			s.send(transport + "\n")
			s.out.wait(t, "got "+transport)
			s.stdin.Close()
			if code := s.end(); code != 0 {
				t.Errorf("tty %v, %s: code %d", tty, transport, code)
			}
			if tty {
				close(s.sizes)
			}
		}
		if state := h.Status(id).State; state != v1.ContainerState_CONTAINER_RUNNING {
			t.Errorf("tty %v: the container is %v", tty, state)
		}
	}
}

func TestStreamAttachTerminal(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"sh", "-c", "until [ \"$(stty size)\" = '43 132' ]; do sleep 0.05; done; echo sized; read y; echo =$y="}, interactive(false, true))
	s := attach(h, "spdy", id, streams{stdin: true, tty: true})
	s.sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
	s.out.wait(t, "sized\r\n")
	s.send("yes\n")
	if code := s.end(); code != 0 || !strings.Contains(s.out.String(), "=yes=\r\n") {
		t.Errorf("code %d, output %q", code, s.out)
	}
	close(s.sizes)
	h.WaitExit(id)
	if out, _ := h.Written(id); !strings.Contains(out, "=yes=\r") {
		t.Errorf("log %q", out)
	}
}

// A client that does not read is cut off after its time; until then it has held up its own container alone, and the log has every byte.
func TestStreamAttachReaderStops(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\nattach_wait_ms = 100\n"})
	id := h.Run(h.Pod(), []string{"sh", "-c", "read x; i=0; while [ $i -lt 50000 ]; do echo line $i of many; i=$((i+1)); done; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end"},
		interactive(false, false))
	gate := &gatedHash{open: make(chan struct{})}
	s := attach(h, "spdy", id, streams{stdin: true, stderr: true, out: gate})
	s.send("go\n")
	h.WaitExit(id)
	out, _ := h.Written(id)
	if !strings.HasPrefix(out, "line 0 of many\nline 1 of many\n") || !strings.HasSuffix(out, "x\nend") || len(out) < 20000000 {
		t.Errorf("log of %d bytes", len(out))
	}
	close(gate.open)
	s.result() // an error or none: the container may have ended before the cut
	if gate.size >= 20000000 {
		t.Errorf("the client has all %d bytes", gate.size)
	}
}

// Attached before and after a daemon's death: the session ends, the container and its log do not.
func TestStreamAttachDaemonKilled(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"sh", "-c", "while read x; do echo got $x; done"}, interactive(false, false))
	s := attach(h, "spdy", id, streams{stdin: true, stderr: true})
	s.send("one\n")
	s.out.wait(t, "got one\n")
	h.KillDaemon()
	s.result()
	h.StartDaemon()
	again := attach(h, "spdy", id, streams{stdin: true, stderr: true})
	again.send("two\n")
	again.out.wait(t, "got two\n")
	again.cancel()
	<-again.done
}
