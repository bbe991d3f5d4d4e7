package system

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Output byte for byte, streams apart, and the exit code.
func TestExecSync(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Envs = []*v1.KeyValue{{Key: "COLOUR", Value: []byte("blue")}}
		c.WorkingDir = "/tmp"
	})
	for _, c := range []struct {
		command        []string
		stdout, stderr string
		code           int
	}{
		{[]string{"echo", "-n", "hello"}, "hello", "", 0},
		{[]string{"sh", "-c", "echo out; echo err >&2; exit 5"}, "out\n", "err\n", 5},
		{[]string{"sh", "-c", "echo $COLOUR; pwd"}, "blue\n/tmp\n", "", 0},
		{[]string{"sh", "-c", "kill -KILL $$"}, "", "", 137},
		{[]string{"printf", `\000\377\n`}, "\x00\xff\n", "", 0},
		{[]string{"true"}, "", "", 0},
	} {
		stdout, stderr, code := h.Exec(id, c.command...)
		if stdout != c.stdout || stderr != c.stderr || code != c.code {
			t.Errorf("%q: %q, %q, %d, want %q, %q, %d", c.command, stdout, stderr, code, c.stdout, c.stderr, c.code)
		}
	}
	stdout, _, err := h.Runtime.ExecSync(context.Background(), id, []string{"echo", "by kubelet's client"}, 10*time.Second)
	if string(stdout) != "by kubelet's client\n" || err != nil {
		t.Errorf("kubelet's client: %q, %v", stdout, err)
	}
}

// A command that is not there is an error that names it, and hurts nobody.
func TestExecSyncMissingProgram(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	_, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"/no/such/thing"}})
	if err == nil || !strings.Contains(err.Error(), "/no/such/thing") {
		t.Errorf("error %v does not name the program", err)
	}
	_, err = h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id})
	h.WantCode(err, codes.InvalidArgument, "cmd")
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v", s.State)
	}
}

// After the timeout the code is DEADLINE_EXCEEDED, nothing of the command's tree is left, the container lives.
func TestExecSyncTimeoutKillsTree(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	begin := time.Now()
	_, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Timeout: 1,
		Cmd: []string{"sh", "-c", "sleep 4321 & (setsid sleep 4322 &) ; sleep 4323"}})
	h.WantCode(err, codes.DeadlineExceeded)
	if took := time.Since(begin); took < 900*time.Millisecond || took > 20*time.Second {
		t.Errorf("a timeout of 1 s took %s", took)
	}
	waitFor(h, "the tree's end", func() bool {
		out, _, _ := h.Exec(id, "sh", "-c", "ps -o args | grep 'sleep 432[123]' | grep -v grep | wc -l")
		return strings.TrimSpace(out) == "0"
	})
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v", s.State)
	}
}

// A child in the background that keeps stdout open must not hold the call.
func TestExecSyncBackgroundChild(t *testing.T) {
	if host.IsPeer() {
		t.Skip("containerd waits for the child")
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	begin := time.Now()
	reply, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Timeout: 60,
		Cmd: []string{"sh", "-c", "echo before; sleep 1000 & exit 3"}})
	if err != nil || reply.ExitCode != 3 || string(reply.Stdout) != "before\n" {
		t.Errorf("reply %v, %v", reply, err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the call took %s", took)
	}
}

// What a child that was left behind still writes is waited for as long as the configuration says, by default 100 ms.
func TestExecSyncDrain(t *testing.T) {
	if host.IsPeer() {
		t.Skip("containerd waits for the child")
	}
	for name, c := range map[string]struct{ config, script, want string }{
		"default": {"", "(sleep 50; echo late) & echo now", "now\n"},
		"long":    {"[exec]\ndrain_ms = 50000\n", "(sleep 1; echo late) & echo now", "now\nlate\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := host.Start(t, host.Options{Config: c.config})
			reply, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: h.Sleeper(h.Pod()), Timeout: 55, Cmd: []string{"sh", "-c", c.script}})
			if err != nil || string(reply.Stdout) != c.want {
				t.Errorf("%q, %v, want %q", reply.GetStdout(), err, c.want)
			}
		})
	}
}

// 16 MiB of each stream are kept, the rest is thrown away without an error.
func TestExecSyncHugeOutput(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	ctx, cancel := context.WithTimeout(context.Background(), host.Limit)
	defer cancel()
	reply, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Timeout: 50,
		Cmd: []string{"sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null; echo end >&2; exit 4"}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(reply.Stdout); n > 16<<20 || n < 15<<20 || reply.ExitCode != 4 || string(reply.Stderr) != "end\n" {
		t.Errorf("%d bytes, exit code %d, stderr %q", n, reply.ExitCode, reply.Stderr)
	}
}

// Exec needs a running container.
func TestExecSyncNeedsRunning(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	created := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}))
	exited := h.Run(pod, []string{"true"})
	h.WaitExit(exited)
	for _, id := range []string{created, exited} {
		if _, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}}); err == nil {
			t.Errorf("ExecSync in a container that is %v succeeded", h.Status(id).State)
		}
	}
}

// An exec has the container's identity, limits and filters: user, groups, capabilities, seccomp, no_new_privs, namespaces, root.
func TestExecInheritsConfinement(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		s := c.Linux.SecurityContext
		s.RunAsUser, s.RunAsGroup = &v1.Int64Value{Value: 1000}, &v1.Int64Value{Value: 1000}
		s.SupplementalGroups, s.NoNewPrivs = []int64{1234}, true
		s.Capabilities = &v1.Capability{DropCapabilities: []string{"ALL"}}
	})
	const show = "grep -E '^(Uid|Gid|Groups|Cap[A-Za-z]+|NoNewPrivs|Seccomp):' /proc/%/status; readlink /proc/%/root; for n in mnt net ipc uts pid cgroup; do readlink /proc/%/ns/$n; done"
	first := h.ExecOut(id, strings.ReplaceAll(show, "%", "1"))
	mine := h.ExecOut(id, strings.ReplaceAll(show, "%", "self"))
	if first != mine {
		t.Errorf("first process:\n%s\nexec:\n%s", first, mine)
	}
	if !strings.Contains(first, "Uid:\t1000\t1000\t1000\t1000") || !strings.Contains(first, "CapBnd:\t0000000000000000") ||
		!strings.Contains(first, "Seccomp:\t2") || !strings.Contains(first, "NoNewPrivs:\t1") {
		t.Errorf("first process:\n%s", first)
	}
}

// Where somebody in the container may ptrace, the filter is loaded before the exec'd process enters the pid namespace; the
// default profile must allow what follows.
func TestExecBesidePtracer(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.Capabilities = &v1.Capability{AddCapabilities: []string{"SYS_PTRACE"}}
	})
	out := h.ExecOut(id, "grep -E '^(CapEff|Seccomp):' /proc/self/status; grep CapEff /proc/1/status")
	caps := regexp.MustCompile(`CapEff:\t([0-9a-f]+)`).FindAllString(out, -1)
	if len(caps) != 2 || caps[0] != caps[1] || !strings.Contains(out, "Seccomp:\t2") {
		t.Errorf("exec beside a container with SYS_PTRACE:\n%s", out)
	}
}
