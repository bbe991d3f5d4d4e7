package lifecycle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// freeze stops all of a container's processes, and whoever enters its cgroup.
func freeze(h *host.Host, pod *host.Pod, id string) (thaw func()) {
	h.Helper()
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			h.Fatal(err)
		}
	}
	if _, err := os.Stat("/sys/fs/cgroup/freezer"); err == nil {
		state := filepath.Join("/sys/fs/cgroup/freezer", pod.Config.Linux.CgroupParent, id, "freezer.state")
		write(state, "FROZEN")
		return func() { write(state, "THAWED") }
	}
	state := filepath.Join("/sys/fs/cgroup", pod.Config.Linux.CgroupParent, id, "cgroup.freeze")
	write(state, "1")
	return func() { write(state, "0") }
}

// The time-out of an ExecSync holds for its launch, too: into a frozen container it ends as told, leaves nothing behind once the
// container is thawed, and those that the kernel will not let go of take no launcher from others.
func TestExecSyncTimeoutBoundsLaunch(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod, other := h.Pod(), h.Pod()
	id, neighbour := h.Sleeper(pod), h.Sleeper(other)
	processes := func() string { return h.ExecOut(id, "ls /proc | grep -c '^[0-9]'") }
	before := processes()
	thaw := freeze(h, pod, id)
	for i := range 4 {
		_, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "1000"}, Timeout: 1})
		// Without the bound: "launch: step ...: ETIMEDOUT", after the launch's own 30 s.
		ended := status.Code(err) == codes.DeadlineExceeded && strings.Contains(err.Error(), "timed out after 1000 ms, not yet started")
		if !ended && (i < 2 || status.Code(err) != codes.ResourceExhausted) {
			t.Errorf("exec %d in a frozen container: %v", i, err)
		}
		if out := h.ExecOut(neighbour, "echo alive"); out != "alive" {
			t.Errorf("an exec in another pod: %q", out)
		}
	}
	thaw()
	waitFor(h, "execs to work again", func() bool {
		reply, err := h.Raw.ExecSync(context.Background(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}, Timeout: 10})
		return err == nil && reply.ExitCode == 0
	})
	waitFor(h, "the execs to be gone", func() bool { return processes() == before })
}

// Starts that hang in a dead FUSE, unkillable, end with a clear error at the launch's deadline; a pod gets no more of the
// launchers than its share, other pods go on, and once the kernel lets go nothing is left and the pod's next start works.
func TestLostLaunchers(t *testing.T) {
	h := host.Start(t, host.Options{Config: "[launch]\ntimeout_ms = 1000\n"})
	dead, plain := folder(h, "dead"), folder(h, "plain")
	heal := deadMount(h, dead)
	mounts := func(c *v1.ContainerConfig) {
		c.Mounts = []*v1.Mount{{HostPath: dead, ContainerPath: "/dead"}, {HostPath: plain, ContainerPath: "/dead/below"}}
	}
	pod, other := h.Pod(), h.Pod()
	var mu sync.Mutex
	count := map[string]int{}
	start := func() {
		id := h.Create(pod, h.ContainerConfig([]string{"true"}, mounts))
		err := h.TryStart(id)
		kind := fmt.Sprint(err)
		switch {
		case status.Code(err) == codes.DeadlineExceeded && strings.Contains(kind, "cannot be killed"):
			kind = "lost"
		case status.Code(err) == codes.DeadlineExceeded: // before it met the dead mount, on a slow machine
			kind = "late"
		case status.Code(err) == codes.ResourceExhausted && strings.Contains(kind, "earlier launches of this container or pod hang"):
			kind = "refused"
		}
		if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_EXITED || s.Reason != "StartError" {
			t.Errorf("after %v: %v, reason %q", err, s.State, s.Reason)
		}
		mu.Lock()
		count[kind]++
		mu.Unlock()
	}
	for round := 0; round < 8 && count["refused"] == 0; round++ {
		var wait sync.WaitGroup
		for range 4 {
			wait.Add(1)
			go func() { defer wait.Done(); start() }()
		}
		wait.Wait()
	}
	if count["lost"] < 4 || count["refused"] == 0 || len(count) > 3 || len(count) == 3 && count["late"] == 0 {
		t.Errorf("the starts ended with %v", count)
	}
	for range 8 {
		if s, out, _ := h.Sh(other, "echo alive"); s.ExitCode != 0 || out != "alive" {
			t.Errorf("another pod's container: exit code %d, %q", s.ExitCode, out)
		}
	}
	heal()
	waitFor(h, "starts to work again", func() bool {
		id := h.Create(pod, h.ContainerConfig([]string{"true"}))
		defer h.RemoveContainer(id)
		return h.TryStart(id) == nil
	})
}
