// Package node makes the private machine that every system test runs on: mount, network, pid, IPC and UTS namespaces of
// its own, and a name under which its cgroups stand, so that nothing of the real machine is touched and everything ends
// with the test, however it ends.
package node

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	stageVar = "CRISP_NODE_STAGE" // "", "init", "inside"
	dirVar   = "CRISP_NODE_DIR"   // the node's scratch folder on the real disk (overlayfs needs one)
	nameVar  = "CRISP_NODE_NAME"  // first component of every cgroup path of the node
	hostVar  = "CRISP_NODE_HOST"  // set: the machine's own processes and /run, where systemd is pid 1 (in a VM)
	keepVar  = "CRISP_KEEP"       // set: the scratch folder is left for a look
)

// Dir is the node's scratch folder, Name the first component of its cgroup paths.
func Dir() string  { return os.Getenv(dirVar) }
func Name() string { return os.Getenv(nameVar) }

// Enter returns only inside the node. The calling program is started again in it, with the same arguments; the outer
// instance waits, cleans up and exits with the inner one's code. The first thing in main or TestMain.
func Enter() {
	switch os.Getenv(stageVar) {
	case "inside":
		return
	case "init":
		os.Exit(initStage())
	default:
		os.Exit(outerStage())
	}
}

// outerStage stays on the real machine: it makes the namespaces and removes what outlives them.
func outerStage() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "node: must run as root")
		return 1
	}
	runtime.LockOSThread() // Pdeathsig goes with this thread
	dir, err := os.MkdirTemp(scratchParent(), "crisp-node-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	name := fmt.Sprintf("crisp-node-%d", os.Getpid())
	if err := os.Chmod(dir, 0o711); err != nil { // non-root containers pass through it
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	cmd := self("init", dirVar+"="+dir, nameVar+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
	}
	if OnHost() {
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWPID
	}
	code := run(cmd)
	removeCgroups(name)
	if os.Getenv(keepVar) == "" {
		os.RemoveAll(dir)
	} else {
		fmt.Fprintln(os.Stderr, "node: kept", dir)
	}
	return code
}

// initStage is pid 1 of the node: it lays out the mounts, starts the program and reaps orphans (the keeper detaches).
func initStage() int {
	if err := layOut(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	cmd := self("inside")
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	signal.Ignore(unix.SIGINT, unix.SIGTERM)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 1
		}
		if pid == cmd.Process.Pid {
			return exitCode(status)
		}
	}
}

// OnHost: on this machine's own systemd, so that containers are its scopes (tests/vm/run --systemd).
func OnHost() bool { return os.Getenv(hostVar) != "" }

func layOut() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make / shared: %w", err)
	}
	if OnHost() { // systemd must know our processes by their numbers, and be found in /run
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
	} else if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{"/run", "/etc/cni", "/var/lib/cni", "/var/lib/crisp", "/etc/crisp"} {
		if _, err := os.Stat(dir); err != nil || (dir == "/run" && OnHost()) {
			continue
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	if err := unix.Sethostname([]byte("crisp-node")); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return nil
}

func scratchParent() string {
	if dir := os.Getenv("CRISP_SCRATCH"); dir != "" {
		return dir
	}
	return "" // $TMPDIR or /tmp
}

func self(stage string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	if stage == "inside" {
		// /proc has been mounted anew for this pid namespace; /proc/self/exe is still this program.
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	}
	cmd.Env = append(append(os.Environ(), stageVar+"="+stage), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	return cmd
}

func run(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cmd.Process.Kill() // pid 1 of the node: all of it ends
		case <-done:
		}
	}()
	cmd.Wait()
	close(done)
	return exitCode(unix.WaitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus)))
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// CgroupDirs lists the directories of all hierarchies below the node's own name, deepest first.
func CgroupDirs(name string) []string {
	var dirs []string
	roots, _ := filepath.Glob("/sys/fs/cgroup/*")
	for _, root := range append(roots, "/sys/fs/cgroup") {
		top := filepath.Join(root, name)
		filepath.WalkDir(top, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
	}
	sort.Slice(dirs, func(i, j int) bool {
		return strings.Count(dirs[i], "/") > strings.Count(dirs[j], "/")
	})
	return dirs
}

func removeCgroups(name string) {
	for _, dir := range CgroupDirs(name) {
		unix.Rmdir(dir)
	}
}
