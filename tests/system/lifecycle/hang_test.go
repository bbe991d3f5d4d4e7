package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// A process in D state (it looks for a name in a dead FUSE whose server has taken the question): each of the ending verbs ends
// by itself, without its caller's deadline, and says why; other pods notice nothing; a restart forgets nothing; and once the
// kernel lets go the retries succeed.
func TestStopInDeadFuse(t *testing.T) {
	h := host.Start(t, host.Options{})
	dead := folder(h, "dead")
	heal := deadMount(h, dead)
	pod, other := h.Pod(), h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "echo ready; stat /dead/x; sleep 1000"},
		func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: dead, ContainerPath: "/dead"}} })
	waitForText(h, id, "ready")
	waitFor(h, "the process to hang", func() bool { return h.ExecOut(id, "cat /proc/[0-9]*/stat | grep -c '(stat) [DS]' || true") != "0" })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	verbs := map[string]func() error{
		"StopContainer": func() error {
			_, err := h.Raw.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: id, Timeout: 1})
			return err
		},
		"RemoveContainer": func() error {
			_, err := h.Raw.RemoveContainer(ctx, &v1.RemoveContainerRequest{ContainerId: id})
			return err
		},
		"StopPodSandbox": func() error {
			_, err := h.Raw.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: pod.ID})
			return err
		},
		"RemovePodSandbox": func() error {
			_, err := h.Raw.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: pod.ID})
			return err
		},
	}
	var wg sync.WaitGroup
	for name, call := range verbs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := call()
			if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
				t.Errorf("%s: %v", name, err)
			}
		}()
	}
	if s, _, _ := h.Sh(other, "exit 3"); s.ExitCode != 3 {
		t.Errorf("another pod's container: exit code %d", s.ExitCode)
	}
	wg.Wait()
	h.KillDaemon()
	h.StartDaemon()
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("after a restart it is %v", s.State)
	}
	heal()
	h.StopContainer(id, 0)
	h.RemoveContainer(id)
	h.StopPod(pod.ID)
	h.RemovePod(pod.ID)
}

// What is busy holds no removal up, and is not forgotten over a restart: a mount that somebody made in the container's folder, in
// which nothing is touched, or a process that somebody moved into one of its v1 cgroups.
func TestRemoveBusy(t *testing.T) {
	for name, occupy := range map[string]func(*host.Host, *host.Pod, string) (free func()){"mount": busyMount, "cgroup": busyGroup} {
		t.Run(name, func(t *testing.T) {
			h := host.Start(t, host.Options{})
			pod := h.Pod()
			id := h.Sleeper(pod)
			free := occupy(h, pod, id)
			h.StopContainer(id, 0)
			h.RemoveContainer(id)
			h.StopPod(pod.ID)
			h.RemovePod(pod.ID)
			if list, err := h.Runtime.ListContainers(context.Background(), nil); err != nil || len(list) != 0 {
				t.Errorf("%d containers are listed, want none (%v)", len(list), err)
			}
			waitFor(h, "a first try", func() bool {
				log, _ := os.ReadFile(h.LogFile)
				return strings.Contains(string(log), "cleaning up failed")
			})
			h.KillDaemon()
			h.StartDaemon()
			free()
			waitFor(h, "the next daemon to clean up", func() bool {
				_, err := os.Stat(filepath.Join(h.Root, "containers", id))
				return os.IsNotExist(err)
			})
		})
	}
}

func busyMount(h *host.Host, _ *host.Pod, id string) func() {
	precious, at := folder(h, "precious"), filepath.Join(h.Root, "containers", id, "upper", "busy")
	canary := precious + "/canary"
	if err := os.WriteFile(canary, []byte("x"), 0o644); err != nil {
		h.Fatal(err)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		h.Fatal(err)
	}
	if err := unix.Mount(precious, at, "", unix.MS_BIND, ""); err != nil { // of the same file system
		h.Fatal(err)
	}
	h.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	return func() {
		if err := unix.Unmount(at, 0); err != nil {
			h.Error(err)
		}
		if _, err := os.Stat(canary); err != nil {
			h.Errorf("what was mounted in the container's folder: %v", err)
		}
	}
}

func busyGroup(h *host.Host, pod *host.Pod, id string) func() {
	tasks := filepath.Join("/sys/fs/cgroup/devices", pod.Config.Linux.CgroupParent, id, "tasks")
	if _, err := os.Stat(tasks); err != nil {
		h.Skip("no cgroup v1: there no process is in a part of a cgroup alone")
	}
	stranger := exec.Command("sleep", "100000")
	if err := stranger.Start(); err != nil {
		h.Fatal(err)
	}
	end := sync.OnceFunc(func() { stranger.Process.Kill(); stranger.Wait() })
	h.Cleanup(end)
	if err := os.WriteFile(tasks, []byte(fmt.Sprint(stranger.Process.Pid)), 0); err != nil {
		h.Fatal(err)
	}
	return end
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
