package streaming

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"k8s.io/client-go/tools/remotecommand"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

func TestStreamExec(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range transports {
		s := shell(h, transport, id, "echo ready; read x; echo got $x; echo bad >&2; exit 7", streams{stdin: true, stderr: true})
		s.out.wait(t, "ready\n")
		s.send("word\n")
		if code := s.end(); code != 7 || s.out.String() != "ready\ngot word\n" || s.err.String() != "bad\n" {
			t.Errorf("%s: code %d, stdout %q, stderr %q", transport, code, s.out, s.err)
		}
		quiet := shell(h, transport, id, "true", streams{stderr: true})
		if code := quiet.end(); code != 0 || quiet.out.String()+quiet.err.String() != "" {
			t.Errorf("%s: true: code %d, stdout %q, stderr %q", transport, code, quiet.out, quiet.err)
		}
	}
}

// The end of the client's stdin is the end of the program's. (Version 4 on WebSocket has no word for it.)
func TestStreamExecStdinEnds(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range []string{"spdy", "websocket-v5"} {
		s := shell(h, transport, id, "sha256sum", streams{stdin: true, stderr: true})
		data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // 4 MiB
		if _, err := s.stdin.Write(data); err != nil {
			t.Fatal(err)
		}
		s.stdin.Close()
		sum := sha256.Sum256(data)
		if code := s.end(); code != 0 || !strings.HasPrefix(s.out.String(), hex.EncodeToString(sum[:])) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", transport, code, s.out, s.err)
		}
	}
}

func TestStreamExecTerminal(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range transports {
		s := shell(h, transport, id, "tty; echo $TERM; until [ \"$(stty size)\" = '43 132' ]; do read -t 1 x; done; echo sized; read y; echo =$y=; exit 3",
			streams{stdin: true, tty: true})
		s.out.wait(t, "/dev/pts/")
		s.out.wait(t, "xterm\r\n")
		s.sizes <- remotecommand.TerminalSize{Width: 132, Height: 43}
		s.out.wait(t, "sized")
		s.send("yes\n")
		if code := s.end(); code != 3 || !strings.Contains(s.out.String(), "=yes=\r\n") {
			t.Errorf("%s: code %d, output %q", transport, code, s.out)
		}
		close(s.sizes)
	}
}

// ctrl-C and ctrl-D are the terminal's business.
func TestStreamExecTerminalKeys(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	s := shell(h, "spdy", id, "trap 'echo interrupted; hit=1' INT; echo ready; until [ \"$hit\" ]; do sleep 0.05; done; echo next; cat; echo end", streams{stdin: true, tty: true})
	s.out.wait(t, "ready")
	s.send("\x03")
	s.out.wait(t, "next")
	s.send("line\n\x04")
	if code := s.end(); code != 0 || !strings.Contains(s.out.String(), "interrupted") || !strings.HasSuffix(s.out.String(), "end\r\n") {
		t.Errorf("code %d, output %q", code, s.out)
	}
	close(s.sizes)
}

// An exec is who the container is: ExecSync's test has the details; this is the same process in the end.
func TestStreamExecInheritsConfinement(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		s := c.Linux.SecurityContext
		s.RunAsUser, s.RunAsGroup = &v1.Int64Value{Value: 1000}, &v1.Int64Value{Value: 1000}
		s.SupplementalGroups, s.NoNewPrivs = []int64{1234}, true
		c.WorkingDir = "/tmp"
		c.Envs = []*v1.KeyValue{{Key: "MARK", Value: []byte("here")}}
	})
	const show = "grep -E '^(Uid|Gid|Groups|Cap[A-Za-z]+|NoNewPrivs|Seccomp):' /proc/%/status; readlink /proc/%/cwd; for n in mnt net ipc uts pid cgroup; do readlink /proc/%/ns/$n; done; echo MARK=$MARK; " +
		"grep -c '/\\.\\.' /proc/%/cgroup || true" // none: an exec's group lies below the container's, so its limits count
	first := h.ExecOut(id, strings.ReplaceAll(show, "%", "1"))
	for _, tty := range []bool{false, true} {
		s := shell(h, "spdy", id, strings.ReplaceAll(show, "%", "self"), streams{tty: tty})
		s.end()
		if got := strings.TrimSpace(strings.ReplaceAll(s.out.String(), "\r", "")); got != first || !strings.Contains(got, "MARK=here\n0") {
			t.Errorf("tty %v: first process:\n%s\nexec:\n%s", tty, first, got)
		}
		if tty {
			close(s.sizes)
		}
	}
}

func TestStreamExecManyBytes(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range transports {
		sum := sha256.New()
		s := shell(h, transport, id, "dd if=/dev/urandom of=/tmp/x bs=1M count=40 2>/dev/null; cat /tmp/x; sha256sum /tmp/x >&2", streams{stderr: true, out: sum})
		if code := s.end(); code != 0 || !strings.HasPrefix(s.err.String(), hex.EncodeToString(sum.Sum(nil))) {
			t.Errorf("%s: code %d, got %x, stderr %q", transport, code, sum.Sum(nil), s.err)
		}
	}
}

// A reader that stops blocks its program and nobody else; then it gets every byte.
func TestStreamExecReaderStops(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	gate := &gatedHash{open: make(chan struct{})}
	s := shell(h, "spdy", id, "echo $$ > /tmp/pid; head -c 30000000 /dev/zero; touch /tmp/written", streams{stderr: true, out: gate})
	h.ExecOut(id, "until [ -s /tmp/pid ]; do sleep 0.01; done")
	// The program cannot end: 30 MB fit in no buffer on the way.
	if out := h.ExecOut(id, "sleep 0.3; ls /tmp"); strings.Contains(out, "written") {
		t.Error("the program wrote everything although nobody reads")
	}
	other := shell(h, "spdy", id, "echo other", streams{stderr: true})
	if other.end(); other.out.String() != "other\n" {
		t.Errorf("another exec meanwhile: %q", other.out)
	}
	close(gate.open)
	if code := s.end(); code != 0 || gate.size != 30000000 {
		t.Errorf("code %d, %d bytes", code, gate.size)
	}
}

type gatedHash struct {
	open chan struct{}
	size int
}

func (g *gatedHash) Write(data []byte) (int, error) {
	<-g.open
	g.size += len(data)
	return len(data), nil
}

// A client that goes ends its program: with SIGHUP, and if that is not heeded, with SIGKILL. (The peers let it run.)
func TestStreamExecClientGone(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\nhangup_grace_ms = 100\n"})
	id := h.Sleeper(h.Pod())
	before := restingProcesses(h, id)
	scripts := map[string]string{
		"polite":   "trap 'touch /tmp/polite.hup; exit 0' HUP; echo ready; while :; do sleep 0.05; done",
		"child":    "echo ready; sleep 12345; true",
		"stubborn": "trap '' HUP; echo ready; while :; do sleep 0.05; done",
		"writer":   "echo ready; yes",
	}
	for name, script := range scripts {
		for _, tty := range []bool{false, true} {
			s := shell(h, "spdy", id, script, streams{tty: tty})
			s.out.wait(t, "ready")
			s.cancel()
			<-s.done
			if out := h.ExecOut(id, "i=0; while set -- /proc/[0-9]*; [ $# -gt "+before+" -a $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; echo $#"); out != before {
				t.Errorf("%s, tty %v: %s processes, %s before", name, tty, out, before)
			}
			if tty {
				close(s.sizes)
			}
		}
	}
	h.ExecOut(id, "ls /tmp/polite.hup")
}

func TestStreamExecLeftAlone(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\non_disconnect = \"leave\"\n"})
	id := h.Sleeper(h.Pod())
	s := shell(h, "spdy", id, "echo ready; until [ -e /tmp/go ]; do sleep 0.01; done; touch /tmp/done", streams{stderr: true})
	s.out.wait(t, "ready")
	s.cancel()
	<-s.done
	h.ExecOut(id, "touch /tmp/go; until [ -e /tmp/done ]; do sleep 0.01; done")
}

// A program that leaves a child with its output behind ends its session all the same.
func TestStreamExecLeavesChild(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range transports {
		s := shell(h, transport, id, "sleep 1000 & echo started; exit 5", streams{stderr: true})
		if code := s.end(); code != 5 || s.out.String() != "started\n" {
			t.Errorf("%s: code %d, stdout %q", transport, code, s.out)
		}
	}
}

func TestStreamExecCannotRun(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	for _, transport := range transports {
		address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"/no/such"}, Stdout: true, Stderr: true})
		if _, err := open(t, transport, address, streams{stderr: true}).result(); err == nil || !strings.Contains(err.Error(), "/no/such") {
			t.Errorf("%s: %v", transport, err)
		}
	}
}

func TestStreamRequestsRefused(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	exited := h.Run(pod, []string{"true"})
	h.WaitExit(exited)
	ctx := context.Background()
	cmd := []string{"true"}
	for _, c := range []struct {
		request *v1.ExecRequest
		code    codes.Code
		texts   []string
	}{
		{&v1.ExecRequest{ContainerId: "", Cmd: cmd, Stdout: true}, codes.InvalidArgument, []string{"container_id"}},
		{&v1.ExecRequest{ContainerId: "nobody", Cmd: cmd, Stdout: true}, codes.NotFound, []string{"nobody"}},
		{&v1.ExecRequest{ContainerId: exited, Cmd: cmd, Stdout: true}, codes.FailedPrecondition, []string{exited, "exited"}},
		{&v1.ExecRequest{ContainerId: id, Stdout: true}, codes.InvalidArgument, []string{"cmd"}},
		{&v1.ExecRequest{ContainerId: id, Cmd: cmd}, codes.InvalidArgument, []string{"stdout", "at least one"}},
		{&v1.ExecRequest{ContainerId: id, Cmd: cmd, Tty: true, Stdout: true, Stderr: true}, codes.InvalidArgument, []string{"stderr", "terminal"}},
	} {
		_, err := h.Raw.Exec(ctx, c.request)
		h.WantCode(err, c.code, c.texts...)
	}
	_, err := h.Raw.Attach(ctx, &v1.AttachRequest{ContainerId: exited, Stdout: true})
	h.WantCode(err, codes.FailedPrecondition, exited)
	_, err = h.Raw.Attach(ctx, &v1.AttachRequest{ContainerId: id})
	h.WantCode(err, codes.InvalidArgument, "at least one")
	_, err = h.Raw.Attach(ctx, &v1.AttachRequest{ContainerId: id, Tty: true, Stdout: true})
	h.WantCode(err, codes.InvalidArgument, "tty")
	for _, port := range []int32{0, -1, 65536} {
		_, err = h.Raw.PortForward(ctx, &v1.PortForwardRequest{PodSandboxId: pod.ID, Port: []int32{80, port}})
		h.WantCode(err, codes.InvalidArgument, "port", fmt.Sprint(port))
	}
	h.StopPod(pod.ID)
	_, err = h.Raw.PortForward(ctx, &v1.PortForwardRequest{PodSandboxId: pod.ID})
	h.WantCode(err, codes.FailedPrecondition, pod.ID)
}

// A URL is good once, for its own kind; and not when its container has gone meanwhile.
func TestStreamUrlIsGoodOnce(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	address := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true})
	if code := open(t, "spdy", address, streams{}).end(); code != 0 {
		t.Errorf("code %d", code)
	}
	for _, bad := range []string{address, strings.Replace(address, "/exec/", "/attach/", 1), address[:len(address)-1], address + "x"} {
		reply, err := http.Post(bad, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
		if reply.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", bad, reply.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	late := execURL(h, &v1.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true})
	h.StopContainer(id, 0)
	if _, err := open(t, "spdy", late, streams{}).result(); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("exec in a stopped container: %v", err)
	}
}

// The container's end ends its sessions, and does not wait for them.
func TestStreamExecContainerStops(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	gate := &gatedHash{open: make(chan struct{})}
	stuck := shell(h, "spdy", id, "echo $$ > /tmp/pid; yes", streams{stderr: true, out: gate})
	s := shell(h, "spdy", id, "echo ready; sleep 1000", streams{stdin: true, stderr: true})
	s.out.wait(t, "ready")
	h.ExecOut(id, "until [ -s /tmp/pid ]; do sleep 0.01; done")
	begin := time.Now()
	h.StopContainer(id, 0)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if code := s.end(); code != 137 {
		t.Errorf("code %d", code)
	}
	close(gate.open)
	if code := stuck.end(); code != 137 {
		t.Errorf("code %d of the one nobody read", code)
	}
}

// The daemon's death ends what it can: a program sees its stdin end, its output break or its terminal hang up. One that heeds
// none of these goes on until its container ends.
func TestStreamExecDaemonKilled(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	var sessions []*session
	for _, one := range []struct {
		script string
		want   streams
	}{
		{"echo ready; echo > /tmp/reader; cat; rm /tmp/reader", streams{stdin: true, stderr: true}},
		{"echo ready; echo > /tmp/writer; yes; rm /tmp/writer", streams{stderr: true, out: io.Discard}},
		{"trap 'rm /tmp/terminal; exit' HUP; echo ready; echo > /tmp/terminal; while :; do sleep 0.05; done", streams{tty: true}},
		{"trap '' HUP PIPE; echo ready; echo > /tmp/stubborn; while :; do sleep 0.05; echo > /tmp/alive; done", streams{stderr: true}},
	} {
		sessions = append(sessions, shell(h, "spdy", id, one.script, one.want))
	}
	h.ExecOut(id, "until [ -e /tmp/reader -a -e /tmp/writer -a -e /tmp/terminal -a -e /tmp/stubborn ]; do sleep 0.01; done")
	h.KillDaemon()
	for _, s := range sessions {
		s.result()
	}
	close(sessions[2].sizes)
	h.StartDaemon()
	h.ExecOut(id, "while [ -e /tmp/reader -o -e /tmp/writer -o -e /tmp/terminal ]; do sleep 0.01; done")
	h.ExecOut(id, "rm -f /tmp/alive; until [ -e /tmp/alive ]; do sleep 0.01; done")
	h.StopContainer(id, 0)
}
