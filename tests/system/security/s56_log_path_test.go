package security

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Log paths that leave the pod's folder are refused, and nothing is made.
func TestS56LogPathEscapes(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	outside := filepath.Join(h.Pods, "escaped.log")
	for _, path := range []string{"../escaped.log", "a/../../escaped.log", "/etc/escaped.log", "..", "a\x00b", strings.Repeat("x", 300)} {
		config := h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) { c.LogPath = path })
		_, err := h.TryCreate(pod, config)
		h.WantCode(err, codes.InvalidArgument, "log_path")
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("a log was made outside the pod's folder")
	}
	if list, _ := h.Runtime.ListContainers(context.Background(), nil); len(list) != 0 {
		t.Errorf("%d containers are left", len(list))
	}
}

// A log path that is a symbolic link or a fifo is not followed.
func TestS56LogPathNotRegular(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	target := filepath.Join(h.Pods, "target")
	if err := os.WriteFile(target, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(pod.Config.LogDirectory, "link.log")); err != nil {
		t.Fatal(err)
	}
	id, err := h.TryCreate(pod, h.ContainerConfig([]string{"echo", "hello"}, func(c *v1.ContainerConfig) { c.LogPath = "link.log" }))
	if err == nil {
		if err = h.TryStart(id); err == nil {
			h.WaitExit(id)
		}
	}
	if data, _ := os.ReadFile(target); string(data) != "untouched" {
		t.Errorf("the link's target now holds %q (error was %v)", data, err)
	}
}
