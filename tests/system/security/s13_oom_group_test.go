package security

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// oomGroup is how the kubelet starts containers on cgroup v2: the kernel ends all that share the memory of any member.
func oomGroup(limit int64) host.Container {
	return func(c *v1.ContainerConfig) {
		c.Linux.Resources = &v1.LinuxContainerResources{MemoryLimitInBytes: limit, Unified: map[string]string{"memory.oom.group": "1"}}
	}
}

func needUnified(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		t.Skip("this machine has no cgroup v2 controllers (run in the VM: tests/vm/run --security)")
	}
}

// s13Time is how long each of the two goes on: a minute, or CRISP_S13_SECONDS.
func s13Time() time.Duration {
	seconds, err := strconv.Atoi(os.Getenv("CRISP_S13_SECONDS"))
	if err != nil {
		seconds = 60
	}
	return time.Duration(seconds) * time.Second
}

// Execs into a container at its memory limit: whatever the OOM killer ends, the keeper is not among it.
func TestS13ExecsAtTheLimit(t *testing.T) {
	needUnified(t)
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	keepers := h.KeeperPids()
	ends, execs := 0, 0
	for deadline := time.Now().Add(s13Time()); time.Now().Before(deadline) || ends == 0; {
		id := h.Run(pod, []string{"sleep", "100000"}, oomGroup(8<<20))
		var workers sync.WaitGroup
		var mu sync.Mutex
		for range 3 {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for n := 0; h.Status(id).State == v1.ContainerState_CONTAINER_RUNNING; n++ {
					fill := fmt.Sprintf("dd if=/dev/zero of=/dev/null bs=%dM count=1 2>/dev/null", 1+n)
					h.Raw.ExecSync(t.Context(), &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", fill}, Timeout: 60})
					mu.Lock()
					execs++
					mu.Unlock()
				}
			}()
		}
		workers.Wait()
		if s := h.WaitExit(id); s.Reason == "OOMKilled" {
			ends++
		}
		h.RemoveContainer(id)
		if now := h.KeeperPids(); !reflect.DeepEqual(now, keepers) {
			t.Fatalf("the keeper was %v, now %v, after %d execs and %d OOM kills", keepers, now, execs, ends)
		}
	}
	t.Logf("%d execs, %d OOM kills", execs, ends)
}

// Starts with less memory than a start needs: the first process, which shares the keeper's memory until its execve, is
// the only one that ends.
func TestS13StartsAtTheLimit(t *testing.T) {
	needUnified(t)
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	keepers := h.KeeperPids()
	failed, starts := 0, 0
	for deadline := time.Now().Add(s13Time()); time.Now().Before(deadline) || failed == 0; starts++ {
		limit := int64(4096) << (starts % 9) // 4 KiB to 1 MiB
		id, err := h.TryCreate(pod, h.ContainerConfig([]string{"/bin/true"}, oomGroup(limit)))
		if err == nil {
			if err = h.TryStart(id); err == nil {
				h.WaitExit(id)
			} else {
				failed++
			}
			h.RemoveContainer(id)
		}
		if now := h.KeeperPids(); !reflect.DeepEqual(now, keepers) {
			t.Fatalf("the keeper was %v, now %v, after a start with %d bytes: %v", keepers, now, limit, err)
		}
	}
	t.Logf("%d starts, %d failed", starts, failed)
}
