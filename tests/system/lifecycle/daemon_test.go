package lifecycle

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Checkpoints are not offered, and say so with the code that the kubelet knows (docs/design/handlers.md has the reason).
func TestCheckpointUnimplemented(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod())
	ctx := context.Background()
	_, err := h.Raw.CheckpointContainer(ctx, &v1.CheckpointContainerRequest{ContainerId: id, Location: "/tmp/x.tar"})
	h.WantCode(err, codes.Unimplemented)
	_, err = h.Raw.CheckpointPod(ctx, &v1.CheckpointPodRequest{})
	h.WantCode(err, codes.Unimplemented)
	_, err = h.Raw.RestorePod(ctx, &v1.RestorePodRequest{})
	h.WantCode(err, codes.Unimplemented)
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v", s.State)
	}
}

// SIGHUP: the log level changes, what needs a restart is named, a bad file changes nothing; the daemon and its containers go on.
func TestReload(t *testing.T) {
	h := host.Start(t, host.Options{Config: "log_level = \"info\"\n"})
	id := h.Sleeper(h.Pod())
	pid := h.DaemonPid()
	logged := func(text string) func() bool {
		return func() bool {
			data, _ := os.ReadFile(h.LogFile)
			return strings.Contains(string(data), text)
		}
	}
	reload := func(config, wanted string) {
		if err := os.WriteFile(h.Folder+"/crisp.toml", []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGHUP)
		waitFor(h, "log line "+wanted, logged(wanted))
	}
	reload("log_level = \"loud\"\n", "log_level: must be debug, info, warning or error")
	reload("log_level = \"debug\"\n", "configuration reloaded")
	reload("log_level = \"warning\"\n[exec]\ndrain_ms = 7\n", "take effect when the daemon is restarted")
	if out := h.ExecOut(id, "echo alive"); out != "alive" {
		t.Errorf("exec after reloads: %q", out)
	}
	if h.DaemonPid() != pid {
		t.Error("another daemon")
	}
}
