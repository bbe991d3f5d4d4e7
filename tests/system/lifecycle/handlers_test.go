package lifecycle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/node"
)

const withLimits = "[handlers.limits]\nrlimits = [\"nofile=111:222\"]\nseccomp = \"runtime-default\"\n"

// withCrun is the configuration of a handler by Debian's crun. That refuses a host whose cgroup hierarchies are mixed, as this
// kind of machine's are: there it is run without a sight of the v2 tree.
func withCrun(t *testing.T) string {
	const crun = "/usr/bin/crun"
	if _, err := os.Stat(crun); err != nil {
		t.Fatal("no crun: apt-get install crun (tests/support/packages.txt)")
	}
	program := crun
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil {
		program = filepath.Join(node.Dir(), "crun-v1")
		script := "#!/bin/sh\nexec unshare -m sh -c 'umount -l /sys/fs/cgroup/unified && exec " + crun + " \"$@\"' crun \"$@\"\n"
		if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return "[handlers.crun]\nruntime = \"" + program + "\"\n"
}

func podOf(h *host.Host, handler string, edits ...host.Sandbox) *host.Pod {
	h.Helper()
	config := h.PodConfig(edits...)
	os.MkdirAll(config.LogDirectory, 0o755)
	reply, err := h.Raw.RunPodSandbox(context.Background(), &v1.RunPodSandboxRequest{Config: config, RuntimeHandler: handler})
	if err != nil {
		h.Fatalf("RunPodSandbox with handler %q: %v", handler, err)
	}
	h.Remember(reply.PodSandboxId)
	return &host.Pod{ID: reply.PodSandboxId, Config: config}
}

// isCrun tells whether crun keeps a state of the container: else the test would be about our own runtime.
func isCrun(h *host.Host, id string) bool {
	_, err := os.Stat(filepath.Join(h.State, "oci/state", id))
	return err == nil
}

// The handlers are listed; an unknown one is refused and named.
func TestHandlerSelection(t *testing.T) {
	h := host.Start(t, host.Options{Config: withCrun(t) + withLimits})
	reply, err := h.Raw.Status(context.Background(), &v1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, handler := range reply.RuntimeHandlers {
		names = append(names, handler.Name)
	}
	if got := strings.Join(names, ","); got != ",crisp,crun,limits" {
		t.Errorf("handlers %q", got)
	}
	_, err = h.Raw.RunPodSandbox(context.Background(), &v1.RunPodSandboxRequest{Config: h.PodConfig(), RuntimeHandler: "kata"})
	h.WantCode(err, codes.InvalidArgument, "runtime_handler", "kata", "crun")
	pod := podOf(h, "crun")
	status, err := h.Raw.PodSandboxStatus(context.Background(), &v1.PodSandboxStatusRequest{PodSandboxId: pod.ID})
	if err != nil || status.Status.RuntimeHandler != "crun" {
		t.Errorf("status of the pod: %v, %v", status, err)
	}
}

// The built-in runtime with other defaults: rlimits, and a filter where the request names none.
func TestHandlerDefaults(t *testing.T) {
	h := host.Start(t, host.Options{Config: withLimits})
	none := func(c *v1.ContainerConfig) { c.Linux.SecurityContext.Seccomp = nil }
	const show = "ulimit -Sn; ulimit -Hn; grep Seccomp: /proc/self/status"
	_, ours, _ := h.Sh(podOf(h, "limits"), show, none)
	if ours != "111\n222\nSeccomp:\t2" {
		t.Errorf("with the handler: %q", ours)
	}
	_, plain, _ := h.Sh(h.Pod(), show, none)
	if strings.Contains(plain, "222") || !strings.Contains(plain, "Seccomp:\t0") {
		t.Errorf("without: %q", plain)
	}
}

// A life by crun: log, exit codes, identity, limits, files, network of the pod, exec, stop, and nothing left.
func TestHandlerCrun(t *testing.T) {
	h := host.Start(t, host.Options{Config: withCrun(t)})
	pod := podOf(h, "crun")
	volume := h.Folder + "/volume"
	os.MkdirAll(volume, 0o755)
	os.WriteFile(volume+"/file", []byte("from the host\n"), 0o644)
	state, stdout, stderr := h.Sh(pod, "echo out; echo err >&2; cat /v/file; touch /v/new 2>/dev/null || echo read-only; id -u; echo $COLOUR; "+
		"cat /etc/hostname; grep -c . /etc/resolv.conf; ip -o -4 addr show eth0 | grep -o '10[0-9.]*/'; grep -E '^(CapEff|Seccomp):' /proc/self/status; exit 7",
		func(c *v1.ContainerConfig) {
			c.Envs = []*v1.KeyValue{{Key: "COLOUR", Value: []byte("blue")}}
			c.Mounts = []*v1.Mount{{HostPath: volume, ContainerPath: "/v", Readonly: true}}
			c.Linux.SecurityContext.Capabilities = &v1.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"CHOWN"}}
		})
	want := fmt.Sprintf("out\nfrom the host\nread-only\n0\nblue\n%s\n3\n%s/\nCapEff:\t0000000000000001\nSeccomp:\t2", pod.Config.Hostname, h.PodIP(pod))
	if state.ExitCode != 7 || state.Reason != "Error" || stdout != want || stderr != "err" {
		t.Errorf("exit code %d %s, stdout:\n%s\nwant:\n%s\nstderr %q", state.ExitCode, state.Reason, stdout, want, stderr)
	}
	if !isCrun(h, state.Id) {
		t.Error("crun does not know the container")
	}

	id := h.Run(pod, []string{"/bin/sh", "-c", "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done"},
		func(c *v1.ContainerConfig) { c.Linux.Resources.MemoryLimitInBytes = 64 << 20 })
	waitForText(h, id, "ready")
	if out, errOut, code := h.Exec(id, "/bin/sh", "-c", "echo in; echo wrong >&2; exit 5"); out != "in\n" || errOut != "wrong\n" || code != 5 {
		t.Errorf("exec: %q, %q, %d", out, errOut, code)
	}
	if _, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"/no/such/thing"}}); err == nil || !strings.Contains(err.Error(), "/no/such/thing") {
		t.Errorf("exec of a missing program: %v", err)
	}
	if text, err := os.ReadFile("/sys/fs/cgroup/memory" + pod.Config.Linux.CgroupParent + "/" + id + "/memory.limit_in_bytes"); err == nil && strings.TrimSpace(string(text)) != "67108864" {
		t.Errorf("memory limit %q", text)
	}
	h.StopContainer(id, 30)
	if s := h.Status(id); s.ExitCode != 9 {
		t.Errorf("after the stop signal: exit code %d, want 9", s.ExitCode)
	}
	waitForText(h, id, "bye")
	h.RemoveContainer(id)
	waitFor(h, "crun's state to go", func() bool { return !isCrun(h, id) })
}

// A timeout ends the exec'd tree, SIGKILL ends all of the container, and a missing program is a start error.
func TestHandlerCrunForce(t *testing.T) {
	h := host.Start(t, host.Options{Config: withCrun(t)})
	pod := podOf(h, "crun")
	id := h.Sleeper(pod)
	begin := time.Now()
	_, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Timeout: 1, Cmd: []string{"sh", "-c", "sleep 4321 & sleep 4322"}})
	h.WantCode(err, codes.DeadlineExceeded)
	if took := time.Since(begin); took < 900*time.Millisecond || took > 20*time.Second {
		t.Errorf("a timeout of 1 s took %s", took)
	}
	waitFor(h, "the end of the exec'd tree", func() bool {
		out, _, _ := h.Exec(id, "sh", "-c", "ps -o args | grep 'sleep 432[12]' | grep -v grep | wc -l")
		return strings.TrimSpace(out) == "0"
	})
	stubborn := h.Run(pod, []string{"/bin/sh", "-c", "trap '' TERM; (setsid sleep 4323 &); echo ready; while :; do sleep 1000; done"})
	waitForText(h, stubborn, "ready")
	h.StopContainer(stubborn, 1)
	if s := h.Status(stubborn); s.State != v1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("%v, exit code %d", s.State, s.ExitCode)
	}
	missing := h.Create(pod, h.ContainerConfig([]string{"/no/such/program"}))
	if err := h.TryStart(missing); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("start of a missing program: %v", err)
	}
	if s := h.Status(missing); s.State != v1.ContainerState_CONTAINER_EXITED || s.Reason != "StartError" || s.ExitCode != 128 {
		t.Errorf("%v, reason %q, exit code %d", s.State, s.Reason, s.ExitCode)
	}
	_, err = h.TryCreate(pod, h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) { c.Tty = true }))
	h.WantCode(err, codes.InvalidArgument, "tty")
}

// Daemon and keeper are killed, one after the other; the container, its log and its exit code stay.
func TestHandlerCrunSurvives(t *testing.T) {
	h := host.Start(t, host.Options{Config: withCrun(t)})
	pod := podOf(h, "crun")
	id := h.Run(pod, []string{"/bin/sh", "-c", "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 1000 & wait $!; done"})
	created := h.Create(pod, h.ContainerConfig([]string{"/bin/sh", "-c", "echo later; exit 4"}))
	waitForText(h, id, "ready")
	h.KillDaemon()
	h.StartDaemon()
	h.KillKeeper()
	waitFor(h, "an exec by the next keeper", func() bool {
		reply, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"echo", "here"}, Timeout: 30})
		return err == nil && string(reply.Stdout) == "here\n"
	})
	h.StartContainer(created)
	if s := h.WaitExit(created); s.ExitCode != 4 {
		t.Errorf("started after the restart: exit code %d", s.ExitCode)
	}
	h.StopContainer(id, 30)
	if s := h.Status(id); s.ExitCode != 9 {
		t.Errorf("exit code %d, want 9", s.ExitCode)
	}
	waitForText(h, id, "bye")
}
