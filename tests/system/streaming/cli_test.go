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
	before, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd := crisp(h, "exec", "-it", id, "sh", "-c", "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo first; until [ \"$(stty size)\" = '44 111' ]; do sleep 0.05; done; echo second; read x; echo =$x=; exit 4")
	c.run(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out.wait(t, "first")
	c.resize(t, 111, 44)
	c.out.wait(t, "second")
	fmt.Fprint(c.master, "word\r")
	c.out.wait(t, "=word=")
	if code := exitCode(cmd.Wait()); code != 4 {
		t.Errorf("code %d, output %q", code, c.out)
	}
	after, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is left as %+v, was %+v, %v", after, before, err)
	}

	// attach: ctrl-P ctrl-Q leaves, the container goes on.
	shell := h.Run(pod, []string{"sh", "-c", "while read x; do echo got $x; done"}, interactive(false, true))
	cmd = crisp(h, "attach", "-it", shell)
	c.run(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c.master, "hello\r")
	c.out.wait(t, "got hello")
	fmt.Fprint(c.master, "\x10\x11")
	if code := exitCode(cmd.Wait()); code != 0 {
		t.Errorf("code %d after the detach keys", code)
	}
	waitLog(h, shell, "got hello")
}

func TestStreamCliPortForward(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	echoServer(h, pod, 7000)
	cmd := crisp(h, "port-forward", pod.ID, "0:7000", "0:7001")
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
	if n, _ := refused.Read(make([]byte, 1)); n != 0 {
		t.Error("a byte from a closed port")
	}
	refused.Close()
	stderr.wait(t, "7001")
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
}
