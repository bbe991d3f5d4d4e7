package streaming

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// crisp is our own command line, for a real client at a real terminal.
func crisp(h *host.Host, arguments ...string) *exec.Cmd {
	cmd := exec.Command(host.Binary(h, "crisp"), append([]string{"--endpoint", "unix://" + h.Socket}, arguments...)...)
	cmd.WaitDelay = host.Limit
	return cmd
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestStreamCliExec(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB through cat and back: both ways at once
	cmd := crisp(h, "exec", "-i", id, "sh", "-c", "cat; echo end >&2; exit 9")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &stdout, &stderr
	if code := exitCode(cmd.Run()); code != 9 || !bytes.Equal(stdout.Bytes(), data) || stderr.String() != "end\n" {
		t.Errorf("code %d, %d bytes, stderr %q", code, stdout.Len(), &stderr)
	}
	out, err := crisp(h, "exec", "-i", id, "/no/such").CombinedOutput()
	if exitCode(err) != 1 || !strings.Contains(string(out), "/no/such") {
		t.Errorf("a program that is not there: %v, %q", err, out)
	}
}

// terminal is a pty; what comes out of it is collected.
type terminal struct {
	master *os.File
	slave  *os.File
	out    *buffer
}

func openTerminal(t testing.TB, width, height uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &terminal{master: master, slave: slave, out: newBuffer()}
	c.resize(t, width, height)
	go io.Copy(c.out, master)
	t.Cleanup(func() { master.Close(); slave.Close() })
	return c
}

func (c *terminal) resize(t testing.TB, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(c.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

func (c *terminal) modes(t testing.TB) unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *modes
}

func (c *terminal) run(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.slave, c.slave, c.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

func TestStreamCliTerminal(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	c := openTerminal(t, 99, 33)
	before := c.modes(t)
	cmd := crisp(h, "exec", "-it", id, "sh", "-c", "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo first; until [ \"$(stty size)\" = '44 111' ]; do sleep 0.05; done; echo second; read x; echo =$x=; exit 4")
	c.run(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out.wait(t, "first")
	if now := c.modes(t); now.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || now.Iflag&(unix.ICRNL|unix.IXON) != 0 || now.Oflag&unix.OPOST != 0 {
		t.Errorf("the terminal is not raw: %+v", now)
	}
	c.resize(t, 111, 44)
	c.out.wait(t, "second")
	fmt.Fprint(c.master, "word\r")
	c.out.wait(t, "=word=")
	if code := exitCode(cmd.Wait()); code != 4 {
		t.Errorf("code %d, output %q", code, c.out)
	}
	if after := c.modes(t); after != before {
		t.Errorf("the terminal is left as %+v, was %+v", after, before)
	}

	// Keys that mean something to a terminal mean it to the one in the container; a signal to ourselves leaves ours as it was.
	cmd = crisp(h, "exec", "-it", id, "sh", "-c", "trap 'echo interrupted' INT; echo third; while :; do sleep 0.05; done")
	c.run(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out.wait(t, "third")
	fmt.Fprint(c.master, "\x03")
	c.out.wait(t, "interrupted")
	cmd.Process.Signal(syscall.SIGTERM)
	if code := exitCode(cmd.Wait()); code != 128+15 {
		t.Errorf("code %d after SIGTERM", code)
	}
	if after := c.modes(t); after != before {
		t.Errorf("after SIGTERM the terminal is left as %+v, was %+v", after, before)
	}
}

// ctrl-P ctrl-Q leaves an attachment, the container goes on; its terminal has our size.
func TestStreamCliAttach(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	c := openTerminal(t, 98, 32)
	before := c.modes(t)
	shell := h.Run(pod, []string{"sh", "-c", "until [ \"$(stty size)\" = '32 98' ]; do sleep 0.05; done; echo sized; while read x; do echo got $x; done"}, interactive(false, true))
	for _, word := range []string{"hello", "again"} {
		cmd := crisp(h, "attach", "-it", shell)
		c.run(cmd)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitLog(h, shell, "sized")
		fmt.Fprint(c.master, word+"\r")
		c.out.wait(t, "got "+word)
		fmt.Fprint(c.master, "\x10\x11")
		if code := exitCode(cmd.Wait()); code != 0 {
			t.Errorf("code %d after the detach keys", code)
		}
		waitLog(h, shell, "got "+word)
		if after := c.modes(t); after != before {
			t.Errorf("the terminal is left as %+v, was %+v", after, before)
		}
	}
	if state := h.Status(shell).State; state != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v", state)
	}

	// Without a terminal, and with stdin_once: our end is the container's.
	once := h.Run(pod, []string{"sh", "-c", "cat; echo bad >&2; echo end"}, interactive(true, false))
	cmd := crisp(h, "attach", "-i", once)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("word\n"), &stdout, &stderr
	if code := exitCode(cmd.Run()); code != 0 || stdout.String() != "word\nend\n" || stderr.String() != "bad\n" {
		t.Errorf("attach -i: code %d, %q, %q", code, &stdout, &stderr)
	}
}

// https: the certificate must be one of the named authority; the error names the option.
func TestStreamCliTls(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	h, _, _ := secure(t, a, "")
	pod := h.Pod()
	id := h.Sleeper(pod)
	dir := t.TempDir()
	good, other := write(t, dir+"/good.pem", a.pem), write(t, dir+"/other.pem", stranger.pem)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	cmd := crisp(h, "exec", "-i", "--ca", good, id, "sh", "-c", "cat; echo end >&2; exit 9")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &stdout, &stderr
	if code := exitCode(cmd.Run()); code != 9 || !bytes.Equal(stdout.Bytes(), data) || stderr.String() != "end\n" {
		t.Errorf("code %d, %d bytes, stderr %q", code, stdout.Len(), &stderr)
	}
	for _, c := range []struct {
		options []string
		want    []string
	}{
		{nil, []string{"not trusted", "--ca FILE"}},
		{[]string{"--ca", other}, []string{"not trusted", "--ca FILE"}},
		{[]string{"--ca", dir + "/no.pem"}, []string{"--ca", dir + "/no.pem", "No such file"}},
	} {
		out, err := crisp(h, append(append([]string{"exec", "-i"}, c.options...), id, "touch", "/tmp/ran")...).CombinedOutput()
		for _, want := range c.want {
			if exitCode(err) != 1 || !strings.Contains(string(out), want) {
				t.Errorf("%q: %v, %q", c.options, err, out)
			}
		}
	}
	if out := h.ExecOut(id, "ls /tmp"); out != "" {
		t.Errorf("something ran: %q", out)
	}
	forwardedByCrisp(h, pod, "--ca", good)
}

func TestStreamCliPortForward(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	forwardedByCrisp(h, h.Pod())
}

// forwardedByCrisp forwards a port with a server and one without.
func forwardedByCrisp(h *host.Host, pod *host.Pod, options ...string) {
	h.Helper()
	t := h.TB
	echoServer(h, pod, 7000)
	cmd := crisp(h, append(append([]string{"port-forward"}, options...), pod.ID, "0:7000", "0:7001")...)
	stdout, stderr := newBuffer(), newBuffer()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.wait(t, "-> 7001\n")
	var ports [2]int
	fmt.Sscanf(stdout.String(), "127.0.0.1:%d -> 7000\n127.0.0.1:%d -> 7001\n", &ports[0], &ports[1])
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]), host.Limit)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(host.Limit))
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go conn.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes back, %v", len(got), err)
	}
	conn.Close()
	refused, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", ports[1]), host.Limit)
	if err != nil {
		t.Fatal(err)
	}
	refused.SetDeadline(time.Now().Add(host.Limit))
	if n, err := refused.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("%d bytes from a closed port, %v", n, err)
	}
	refused.Close()
	stderr.wait(t, "7001")
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
}
