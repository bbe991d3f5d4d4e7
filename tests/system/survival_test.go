package system

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const (
	kills       = 50
	writerLines = 30000
	// Lines repeat in blocks of 8, so that a lost or doubled block cannot hide behind unique numbers alone.
	writerScript = "i=0; while [ $i -lt %d ]; do echo \"same\"; echo \"line $i\"; i=$((i+1)); if [ $((i %% 400)) = 0 ]; then sleep 0.05; fi; done; exit 7"
)

// kill -9 of the daemon, 50 times under load with launches in flight: containers, logs and exit codes are whole.
func TestDaemonKilled(t *testing.T) {
	survive(t, func(h *host.Host) { h.KillDaemon(); h.StartDaemon() })
}

// The same for the keeper; the daemon starts a new one by itself.
func TestKeeperKilled(t *testing.T) { survive(t, (*host.Host).KillKeeper) }

func survive(t *testing.T, kill func(*host.Host)) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	writer := h.Run(pod, []string{"/bin/sh", "-c", fmt.Sprintf(writerScript, writerLines)})
	steady := h.Sleeper(pod)
	born := h.ExecOut(steady, "cut -d' ' -f22 /proc/1/stat")
	var stop atomic.Bool
	var wg sync.WaitGroup
	var launched atomic.Int64
	wg.Add(2)
	for range 2 {
		go func() {
			defer wg.Done()
			launchUntil(h, pod, &stop, &launched)
		}()
	}
	rounds := kills
	if os.Getenv("CRISP_FLAVOUR") == "asan" || os.Getenv("VM_SYSTEMD") != "" { // slow: sanitized, or an emulated machine
		rounds = 8
	}
	for n := range rounds {
		before := launched.Load()
		kill(h)
		waitFor(h, fmt.Sprintf("a launch after kill %d", n+1), func() bool { return launched.Load() > before || t.Failed() })
		if t.Failed() {
			break
		}
	}
	stop.Store(true)
	wg.Wait()
	if got := h.ExecOut(steady, "cut -d' ' -f22 /proc/1/stat"); got != born {
		t.Errorf("the steady container's process began at %s, now %s", born, got)
	}
	s := h.WaitExit(writer)
	if s.ExitCode != 7 || s.Reason != "Error" {
		t.Errorf("the writer: exit code %d, reason %q, want 7", s.ExitCode, s.Reason)
	}
	var want strings.Builder
	for i := range writerLines {
		fmt.Fprintf(&want, "same\nline %d\n", i)
	}
	if got := host.Join(h.Lines(writer), "stdout"); got != want.String() {
		t.Errorf("the log has %d bytes, want %d: %s", len(got), want.Len(), difference(got, want.String()))
	}
	t.Logf("%d kills, %d containers launched meanwhile", rounds, launched.Load())
}

// launchUntil runs short containers, retrying as the kubelet does, and checks the code of each.
func launchUntil(h *host.Host, pod *host.Pod, stop *atomic.Bool, launched *atomic.Int64) {
	for n := 0; !stop.Load() && !h.Failed(); n++ {
		code := int32(n%50 + 1)
		config := h.ContainerConfig([]string{"/bin/sh", "-c", fmt.Sprintf("echo out %d; exit %d", code, code)})
		id := ""
		if !retry(h, "CreateContainer", func() (err error) { id, err = h.TryCreate(pod, config); return err }) {
			return
		}
		started := retry(h, "StartContainer", func() error {
			err := h.TryStart(id)
			if err != nil && hasRun(h, id) {
				return nil // the answer was lost with the daemon, the start was not
			}
			return err
		})
		if !started {
			return
		}
		var state *v1.ContainerStatus
		ended := retry(h, "exit of "+id, func() error {
			reply, err := h.Raw.ContainerStatus(short(), &v1.ContainerStatusRequest{ContainerId: id})
			if err == nil && reply.Status.State != v1.ContainerState_CONTAINER_EXITED {
				err = status.Error(codes.Unavailable, "still "+reply.Status.State.String())
			}
			state = reply.GetStatus()
			return err
		})
		if !ended {
			return
		}
		data, _ := os.ReadFile(state.LogPath)
		lines, err := host.ParseLog(data)
		if state.ExitCode != code || err != nil || host.Join(lines, "stdout") != fmt.Sprintf("out %d\n", code) {
			h.Errorf("container %s: exit code %d (%s, %s), log %q, %v; want %d", id, state.ExitCode, state.Reason, state.Message, data, err, code)
			return
		}
		retry(h, "RemoveContainer", func() error {
			_, err := h.Raw.RemoveContainer(short(), &v1.RemoveContainerRequest{ContainerId: id})
			return err
		})
		launched.Add(1)
	}
}

func hasRun(h *host.Host, id string) bool {
	reply, err := h.Raw.ContainerStatus(short(), &v1.ContainerStatusRequest{ContainerId: id})
	return err == nil && (reply.Status.State == v1.ContainerState_CONTAINER_RUNNING ||
		(reply.Status.State == v1.ContainerState_CONTAINER_EXITED && reply.Status.Reason != "StartError"))
}

func short() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	time.AfterFunc(31*time.Second, cancel)
	return ctx
}

// retry repeats a call while daemon or keeper are away (UNAVAILABLE); any other error ends the test.
func retry(h *host.Host, what string, call func() error) bool {
	var err error
	for deadline := time.Now().Add(host.Limit); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if err = call(); err == nil {
			return true
		}
		if code := status.Code(err); code != codes.Unavailable && code != codes.Canceled && code != codes.DeadlineExceeded {
			break
		}
	}
	h.Errorf("%s: %v", what, err)
	return false
}

// SIGTERM ends the daemon with 0 and leaves the containers running; the next daemon knows them all.
func TestTerminateLeavesContainers(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 5"})
	created := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}))
	exited := h.Run(pod, []string{"sh", "-c", "exit 9"})
	h.WaitExit(exited)
	ip := h.PodIP(pod)
	if code := h.Terminate(20 * time.Second); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	h.StartDaemon()
	s := h.WaitExit(id)
	if out, _ := h.Written(id); s.ExitCode != 5 || out != strings.TrimSuffix(numbered(40), "\n") {
		t.Errorf("exit code %d, log %q", s.ExitCode, out)
	}
	if s := h.Status(exited); s.ExitCode != 9 || s.State != v1.ContainerState_CONTAINER_EXITED {
		t.Errorf("the exited one: %v, code %d", s.State, s.ExitCode)
	}
	h.StartContainer(created)
	if got := h.PodIP(pod); got != ip {
		t.Errorf("the pod's address was %s, is %s", ip, got)
	}
	if second := h.PodIP(h.Pod()); second == ip {
		t.Errorf("a new pod got the living pod's address %s", ip)
	}
}

// A volume can be unmounted as soon as the container has exited: no fd of daemon or keeper holds its mounts.
func TestVolumeDetachesAfterExit(t *testing.T) {
	h := host.Start(t, host.Options{})
	volume := h.Folder + "/volume"
	if err := os.MkdirAll(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	pod := h.Pod()
	mount := func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: volume, ContainerPath: "/data"}} }
	for _, c := range []struct {
		command []string
		starts  bool
	}{{[]string{"sh", "-c", "echo x > /data/file"}, true}, {[]string{"/no/such/program"}, false}} {
		loop := attachLoopVolume(h, volume)
		id := h.Create(pod, h.ContainerConfig(c.command, mount))
		if err := h.TryStart(id); (err == nil) != c.starts {
			t.Fatalf("start of %q: %v", c.command, err)
		}
		h.WaitExit(id)
		if err := loop.Detach(); err != nil {
			t.Errorf("after %q: %v", c.command, err)
		}
	}
}

// StopPodSandbox within a millisecond of RunPodSandbox, under load, ends at once.
func TestStopUnderLoad(t *testing.T) {
	h := host.Start(t, host.Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 25 {
				pod, err := h.TryPod(h.PodConfig())
				if err != nil {
					t.Error(err)
					return
				}
				begin := time.Now()
				_, err = h.Raw.StopPodSandbox(short(), &v1.StopPodSandboxRequest{PodSandboxId: pod.ID})
				if took := time.Since(begin); err != nil || took > 20*time.Second {
					t.Errorf("StopPodSandbox: %v after %s", err, took)
				}
				if _, err := h.Raw.RemovePodSandbox(short(), &v1.RemovePodSandboxRequest{PodSandboxId: pod.ID}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
}
