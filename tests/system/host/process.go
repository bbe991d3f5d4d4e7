package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is the daemon. It is our child; the keeper is not (it detaches) and is found by its name.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

// Binary gives the path of one of crisp's programs: CRISP_BIN names the folder that the build made.
func Binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("CRISP_BIN")
	if dir == "" {
		t.Fatal("CRISP_BIN is not set: it names the folder with crispd, e.g. build/release/bin")
	}
	return filepath.Join(dir, name)
}

func startProcess(h *Host) *process {
	h.Helper()
	argv := daemonCommand(h)
	log, err := os.OpenFile(h.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(h, err)
	defer log.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0:abort_on_error=1"), h.options.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(h, cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{}), log: h.LogFile}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p
}

func daemonCommand(h *Host) []string {
	if peer() != "" {
		return h.peerCommand()
	}
	argv := []string{Binary(h, "crispd")}
	if h.options.Config != "" {
		file := h.Folder + "/crisp.toml"
		must(h, os.WriteFile(file, []byte(h.options.Config), 0o644))
		argv = append(argv, "--config", file)
	}
	return append(argv, "--root", h.Root, "--state", h.State, "--socket", h.Socket)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() (int, bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), true
	default:
		return 0, false
	}
}

func (p *process) kill(signal syscall.Signal) {
	p.cmd.Process.Signal(signal)
	<-p.done
}

func (p *process) terminate(limit time.Duration) (int, bool) {
	if p == nil {
		return 0, true
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), true
	case <-time.After(limit):
		p.kill(syscall.SIGKILL)
		return -1, false
	}
}

// sanitizerReport returns what ASan, UBSan or TSan wrote into the log.
func (p *process) sanitizerReport() string {
	if p == nil {
		return ""
	}
	data, _ := os.ReadFile(p.log)
	for _, mark := range []string{"ERROR: AddressSanitizer", "runtime error:", "WARNING: ThreadSanitizer"} {
		if at := bytes.Index(data, []byte(mark)); at >= 0 {
			return string(data[at:min(len(data), at+6000)])
		}
	}
	return ""
}

// KeeperPids finds this host's keepers: processes of that program that were told of this host's state folder, or
// that hold something open in it.
func (h *Host) KeeperPids() []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil || !strings.HasPrefix(string(comm), "crisp-keeper") || isZombie(dir) || isLaunch(dir) {
			continue
		}
		if !h.owns(dir) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isLaunch tells a container or an exec that has not reached its execve yet: it still has its parent's name.
func isLaunch(proc string) bool {
	mine, _ := os.Readlink("/proc/self/ns/pid")
	if its, err := os.Readlink(proc + "/ns/pid"); err != nil || its != mine {
		return true
	}
	stat, err := os.ReadFile(proc + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if err != nil || len(fields) < 2 {
		return true
	}
	parent, err := os.ReadFile("/proc/" + fields[1] + "/comm")
	return err == nil && strings.HasPrefix(string(parent), "crisp-keeper")
}

func (h *Host) owns(proc string) bool {
	cmdline, _ := os.ReadFile(proc + "/cmdline")
	if strings.Contains(string(cmdline), h.State) {
		return true
	}
	if cwd, err := os.Readlink(proc + "/cwd"); err == nil && strings.HasPrefix(cwd, h.State) {
		return true
	}
	fds, _ := filepath.Glob(proc + "/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, h.Folder) {
			return true
		}
	}
	return false
}

func isZombie(proc string) bool {
	stat, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// KillKeeper ends the keeper with -9 and waits until it is gone. The daemon may still be starting the one after the last kill,
// and a process that is only passing through on its way to a workload may be taken for it: so it looks again.
func (h *Host) KillKeeper() {
	h.Helper()
	pids := h.KeeperPids()
	for deadline := time.Now().Add(10 * time.Second); len(pids) == 0; pids = h.KeeperPids() {
		if time.Now().After(deadline) {
			h.Fatal("no keeper found")
		}
		time.Sleep(time.Millisecond)
	}
	for _, pid := range pids {
		killAndWait(pid)
	}
}

func killAndWait(pid int) {
	syscall.Kill(pid, syscall.SIGKILL)
	proc := fmt.Sprintf("/proc/%d", pid)
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if isZombie(proc) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
