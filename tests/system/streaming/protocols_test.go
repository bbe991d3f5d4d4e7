package streaming

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// protocol is one version of one of the two wires, and what its client can tell.
type protocol struct {
	name      string
	code      bool // the exit code as a number; before: as a text
	told      bool // the text of an error; client-go's version 1 may look for it too late
	stdinEnds bool
	resizes   bool
}

var protocols = []protocol{
	{"spdy-v1", false, false, false, false}, // whose client never ends stdin
	{"spdy-v2", false, true, true, false},
	{"spdy-v3", false, true, true, true},
	{"spdy-v4", true, true, true, true},
	{"websocket-v1", false, false, false, false},
	{"websocket-v2", false, true, false, false},
	{"websocket-v3", false, true, false, true},
	{"websocket-v4", true, true, false, true},
	{"websocket-v5", true, true, true, true},
}

func (p protocol) wantCode(s *session, want int) {
	s.t.Helper()
	code, err := s.result()
	switch {
	case p.code && (err != nil || code != want):
		s.t.Errorf("%s: code %d, %v", p.name, code, err)
	case !p.code && p.told && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("exit code %d", want))):
		s.t.Errorf("%s: the error is %v", p.name, err)
	}
}

func TestStreamEveryProtocolExec(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, p := range protocols {
		s := shell(h, p.name, id, "echo ready; read x; echo got $x; echo bad >&2; read x; exit 7", streams{stdin: true, stderr: true})
		s.out.wait(t, "ready\n")
		s.send("word\n")
		s.out.wait(t, "got word\n")
		s.err.wait(t, "bad\n")
		s.send("end\n") // at an error's text client-go's version 1 lets go of what it has not yet copied
		p.wantCode(s, 7)
		if s.out.String() != "ready\ngot word\n" || s.err.String() != "bad\n" {
			t.Errorf("%s: stdout %q, stderr %q", p.name, s.out, s.err)
		}
		good := shell(h, p.name, id, "echo fine", streams{stderr: true})
		if code, err := good.result(); code != 0 || err != nil || good.out.String() != "fine\n" {
			t.Errorf("%s: code %d, %v, %q", p.name, code, err, good.out)
		}
		if !p.stdinEnds {
			continue
		}
		count := shell(h, p.name, id, "wc -c", streams{stdin: true, stderr: true})
		count.send(strings.Repeat("0123456789abcdef", 1<<14))
		count.stdin.Close()
		if code, err := count.result(); code != 0 || err != nil || strings.TrimSpace(count.out.String()) != "262144" {
			t.Errorf("%s: code %d, %v, %q", p.name, code, err, count.out)
		}
	}
}

func TestStreamEveryProtocolTerminal(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, p := range protocols {
		script := "tty; read y; echo =$y=; exit 3"
		if p.resizes {
			script = "until [ \"$(stty size)\" = '43 132' ]; do sleep 0.05; done; echo sized; " + script
		}
		s := shell(h, p.name, id, script, streams{stdin: true, tty: true})
		if p.resizes {
			s.sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
			s.out.wait(t, "sized")
		}
		s.out.wait(t, "/dev/pts/")
		s.send("yes\n")
		p.wantCode(s, 3)
		if !strings.Contains(s.out.String(), "=yes=\r\n") {
			t.Errorf("%s: output %q", p.name, s.out)
		}
		close(s.sizes)
	}
}

func TestStreamEveryProtocolAttach(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, tty := range []bool{false, true} {
		id := h.Run(pod, []string{"sh", "-c", "while read x; do echo got $x; echo bad >&2; done"}, interactive(false, tty))
		for _, p := range protocols {
			s := attach(h, p.name, id, streams{stdin: true, stderr: !tty, tty: tty})
			s.send(p.name + "\n")
			s.out.wait(t, "got "+p.name)
			if !tty {
				s.err.wait(t, "bad\n")
			}
			s.cancel()
			<-s.done
			if tty {
				close(s.sizes)
			}
		}
		if state := h.Status(id).State; state != v1.ContainerState_CONTAINER_RUNNING {
			t.Errorf("tty %v: the container is %v", tty, state)
		}
	}
	// The container's end is told to a client of each version.
	for _, p := range protocols {
		id := h.Run(pod, []string{"sh", "-c", "read x; echo last; exit 5"}, interactive(false, false))
		s := attach(h, p.name, id, streams{stdin: true, stderr: true})
		s.send("go\n")
		if code, err := s.result(); code != 0 || err != nil || s.out.String() != "last\n" {
			t.Errorf("%s: code %d, %v, %q", p.name, code, err, s.out)
		}
	}
}
