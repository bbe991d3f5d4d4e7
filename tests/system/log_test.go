package system

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Each line has its time, stream and tag; long lines are split at 16 KiB with P; the last bytes need no newline.
func TestLogFormat(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "echo out; echo err >&2; echo; head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'no newline'"})
	h.WaitExit(id)
	lines := h.Lines(id)
	out := host.Join(lines, "stdout")
	if want := "out\n\n" + strings.Repeat("x", 40000) + "\nno newline"; strings.TrimSuffix(out, "\n") != want {
		t.Errorf("stdout has %d bytes, want %d; begins %q", len(out), len(want), out[:min(60, len(out))])
	}
	if err := host.Join(lines, "stderr"); err != "err\n" {
		t.Errorf("stderr %q", err)
	}
	for i, line := range lines {
		if i > 0 && line.Time.Before(lines[i-1].Time) && line.Stream == lines[i-1].Stream {
			t.Errorf("line %d is older than the one before it", i)
		}
		if len(line.Text) > 16<<10 {
			t.Errorf("line %d has %d bytes", i, len(line.Text))
		}
	}
}

// Rotation as the kubelet does it, while the container writes: rename, reopen, and no byte is lost or written twice.
func TestLogRotation(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"})
	path := h.LogPath(id)
	files := []string{}
	for n := 0; n < 10; n++ {
		waitFor(h, "the log to grow", func() bool {
			info, err := os.Stat(path)
			return err == nil && info.Size() > 0 || h.Status(id).State == v1.ContainerState_CONTAINER_EXITED
		})
		if h.Status(id).State != v1.ContainerState_CONTAINER_RUNNING {
			break
		}
		old := fmt.Sprintf("%s.%d", path, n)
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		if _, err := h.Raw.ReopenContainerLog(context.Background(), &v1.ReopenContainerLogRequest{ContainerId: id}); err != nil {
			if h.Status(id).State == v1.ContainerState_CONTAINER_EXITED {
				break
			}
			t.Fatal(err)
		}
	}
	h.WaitExit(id)
	text := ""
	for _, file := range append(files, path) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		lines, err := host.ParseLog(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text += host.Join(lines, "stdout")
	}
	if want := numbered(20000); text != want {
		t.Errorf("%d bytes over %d files, want %d: %s", len(text), len(files)+1, len(want), difference(text, want))
	}
}

func numbered(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	return text.String()
}

// difference shows where two texts part.
func difference(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	cut := func(s string) string { return s[max(0, min(at-20, len(s))):min(at+40, len(s))] }
	return fmt.Sprintf("they part at byte %d: %q, want %q", at, cut(got), cut(want))
}
