package lifecycle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const stubbornScript = "trap '' TERM; echo ready; while :; do sleep 1000 & wait $!; done"

// A later call shortens the grace of an earlier one, and never lengthens it.
func TestStopNeverLengthened(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"/bin/sh", "-c", stubbornScript})
	waitForText(h, id, "ready")
	began := make(chan struct{})
	first := make(chan error, 1)
	begin := time.Now()
	go func() {
		close(began)
		_, err := h.Raw.StopContainer(context.Background(), &v1.StopContainerRequest{ContainerId: id, Timeout: 2})
		first <- err
	}()
	<-began
	h.StopContainer(id, 100) // returns with the first one's end
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the later call with 100 s lengthened the first one's 2 s to %s", took)
	}
	if err := <-first; err != nil {
		t.Errorf("the first StopContainer: %v", err)
	}
	if s := h.Status(id); s.ExitCode != 137 {
		t.Errorf("exit code %d", s.ExitCode)
	}
}

// Many at once of each of the ending verbs: one does it, the others join, all succeed.
func TestEndingRetriesJoin(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", stubbornScript})
	other := h.Sleeper(pod)
	waitForText(h, id, "ready")
	ctx := context.Background()
	for _, verb := range []struct {
		name string
		call func() error
	}{
		{"StopContainer", func() error {
			_, err := h.Raw.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: id, Timeout: 1})
			return err
		}},
		{"RemoveContainer", func() error {
			_, err := h.Raw.RemoveContainer(ctx, &v1.RemoveContainerRequest{ContainerId: id})
			return err
		}},
		{"StopPodSandbox", func() error {
			_, err := h.Raw.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: pod.ID})
			return err
		}},
		{"RemovePodSandbox", func() error {
			_, err := h.Raw.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: pod.ID})
			return err
		}},
	} {
		var wg sync.WaitGroup
		for range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := verb.call(); err != nil {
					t.Errorf("%s: %v", verb.name, err)
				}
			}()
		}
		wg.Wait()
		if verb.name == "StopPodSandbox" {
			if s := h.Status(other); s.State != v1.ContainerState_CONTAINER_EXITED {
				t.Errorf("after StopPodSandbox a container is %v", s.State)
			}
		}
	}
}

// A CNI plugin whose DEL hangs holds neither StopPodSandbox nor RemovePodSandbox; the DEL comes later, also by the next daemon.
func TestStopWithHangingPlugin(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(filepath.Dir(dir), 0o755)
	script := fmt.Sprintf(`#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.0.0","ips":[{"address":"10.5.0.9/24"}]}' ;;
DEL) echo x >>%[1]s/dels; [ -e %[1]s/heal ] || exec sleep 1000; echo "$CNI_CONTAINERID" >>%[1]s/deleted ;;
esac
`, dir)
	os.WriteFile(dir+"/hang", []byte(script), 0o755)
	os.WriteFile(dir+"/10.conflist", []byte(`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"hang"}]}`), 0o644)
	h := host.Start(t, host.Options{NoLeak: true, Config: fmt.Sprintf("[network]\nconf_dirs = [%q]\nbin_dirs = [%q]\n", dir, dir)})
	pod := h.Pod()
	id := h.Sleeper(pod)
	begin := time.Now()
	h.StopPod(pod.ID)
	h.RemovePod(pod.ID)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("stop and removal took %s", took)
	}
	if _, err := h.Raw.ContainerStatus(context.Background(), &v1.ContainerStatusRequest{ContainerId: id}); err == nil {
		t.Error("the container is still there")
	}
	waitFor(h, "the plugin's DEL", func() bool { _, err := os.Stat(dir + "/dels"); return err == nil })
	h.KillDaemon()
	os.WriteFile(dir+"/heal", nil, 0o644)
	h.StartDaemon()
	waitFor(h, "DEL by the next daemon", func() bool {
		text, _ := os.ReadFile(dir + "/deleted")
		return strings.Contains(string(text), pod.ID)
	})
}
