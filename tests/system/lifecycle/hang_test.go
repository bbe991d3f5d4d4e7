package lifecycle

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// A launch that hangs in a dead FUSE below a mount target delays no other pod; it ends with an error when the server is gone.
func TestLaunchHangsInDeadFuse(t *testing.T) {
	h := host.Start(t, host.Options{})
	dead, plain := folder(h, "dead"), folder(h, "plain")
	heal := deadMount(h, dead)
	pod, other := h.Pod(), h.Pod()
	id := h.Create(pod, h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: dead, ContainerPath: "/dead"}, {HostPath: plain, ContainerPath: "/dead/below"}}
	}))
	hanging := make(chan error, 1)
	go func() { hanging <- h.TryStart(id) }()
	for range 8 {
		begin := time.Now()
		if s, out, _ := h.Sh(other, "echo alive"); s.ExitCode != 0 || out != "alive" {
			t.Errorf("another pod's container: exit code %d, %q", s.ExitCode, out)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("another pod's container took %s", took)
		}
	}
	select {
	case err := <-hanging:
		t.Fatalf("the start did not hang: %v", err)
	default:
	}
	heal()
	if err := <-hanging; err == nil {
		t.Error("the start that hung succeeded")
	}
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_EXITED || s.Reason != "StartError" {
		t.Errorf("%v, reason %q", s.State, s.Reason)
	}
}

// A process in D state (it looks for a name in a dead FUSE whose server has taken the question): StopContainer ends with its
// caller's deadline, other pods notice nothing, and once the kernel lets go the retry succeeds.
func TestStopInDeadFuse(t *testing.T) {
	h := host.Start(t, host.Options{})
	dead := folder(h, "dead")
	heal := deadMount(h, dead)
	pod, other := h.Pod(), h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "echo ready; stat /dead/x; sleep 1000"},
		func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: dead, ContainerPath: "/dead"}} })
	waitForText(h, id, "ready")
	waitFor(h, "the process to hang", func() bool { return h.ExecOut(id, "cat /proc/[0-9]*/stat | grep -c '(stat) [DS]' || true") != "0" })
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	begin := time.Now()
	if _, err := h.Raw.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: id, Timeout: 0}); err != nil {
		h.WantCode(err, codes.DeadlineExceeded)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("StopContainer took %s", took)
	}
	if s, _, _ := h.Sh(other, "exit 3"); s.ExitCode != 3 {
		t.Errorf("another pod's container: exit code %d", s.ExitCode)
	}
	heal()
	h.StopContainer(id, 0)
	h.RemoveContainer(id)
	h.StopPod(pod.ID)
	h.RemovePod(pod.ID)
}

// A container whose v1 freezer is frozen is stopped all the same: it is thawed to die.
func TestStopFrozen(t *testing.T) {
	if _, err := os.Stat("/sys/fs/cgroup/freezer"); err != nil {
		t.Skip("no v1 freezer")
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	state := filepath.Join("/sys/fs/cgroup/freezer", pod.Config.Linux.CgroupParent, id, "freezer.state")
	if err := os.WriteFile(state, []byte("FROZEN"), 0); err != nil {
		t.Fatal(err)
	}
	// An exec into it does not come back by itself, and holds nobody else.
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}, Timeout: 1})
	if err == nil {
		t.Error("an exec in a frozen container succeeded")
	}
	if s, _, _ := h.Sh(pod, "exit 3"); s.ExitCode != 3 {
		t.Errorf("another container: exit code %d", s.ExitCode)
	}
	h.StopContainer(id, 1)
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_EXITED {
		t.Errorf("after StopContainer: %v", s.State)
	}
}

// The keeper is dead and no new one can be started: UNAVAILABLE, the container stays created, and a later start works.
func TestStartWithoutKeeper(t *testing.T) {
	dir := t.TempDir()
	keeper := dir + "/crisp-keeper"
	program, err := os.ReadFile(host.Binary(t, "crisp-keeper"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keeper, program, 0o755); err != nil {
		t.Fatal(err)
	}
	h := host.Start(t, host.Options{Config: "keeper_binary = \"" + keeper + "\"\n"})
	id := h.Create(h.Pod(), h.ContainerConfig([]string{"/bin/sh", "-c", "exit 5"}))
	if err := os.Rename(keeper, keeper+".away"); err != nil {
		t.Fatal(err)
	}
	h.KillKeeper()
	h.WantCode(h.TryStart(id), codes.Unavailable)
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_CREATED {
		t.Errorf("after the failed start: %v", s.State)
	}
	if err := os.Rename(keeper+".away", keeper); err != nil {
		t.Fatal(err)
	}
	h.StartContainer(id)
	if s := h.WaitExit(id); s.ExitCode != 5 {
		t.Errorf("exit code %d", s.ExitCode)
	}
}
