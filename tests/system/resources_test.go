package system

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// unified: is this a pure cgroup v2 machine?
func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// limits are what the kernel has for the container, read from inside: cpu quota and period, memory, cpuset.
func limits(h *host.Host, id string) string {
	h.Helper()
	script := "cd /sys/fs/cgroup; if [ -e memory.max ]; then echo $(cat cpu.max) $(cat memory.max) $(cat cpuset.cpus); " +
		"else echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us) $(cat memory/memory.limit_in_bytes) $(cat cpuset/cpuset.cpus); fi"
	return h.ExecOut(id, script)
}

// shares is the container's cpu weight: v1 as asked for, v2 converted.
func shares(h *host.Host, id string) string {
	h.Helper()
	return h.ExecOut(id, "cd /sys/fs/cgroup; cat cpu.weight 2>/dev/null || cat cpu/cpu.shares")
}

func update(h *host.Host, id string, change *v1.LinuxContainerResources) error {
	_, err := h.Raw.UpdateContainerResources(context.Background(), &v1.UpdateContainerResourcesRequest{ContainerId: id, Linux: change})
	return err
}

func mustUpdate(h *host.Host, id string, change *v1.LinuxContainerResources) {
	h.Helper()
	if err := update(h, id, change); err != nil {
		h.Fatalf("UpdateContainerResources(%v): %v", change, err)
	}
}

// asked starts every container with the same limits.
func asked(c *v1.ContainerConfig) {
	c.Linux.Resources = &v1.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, CpusetCpus: "0", OomScoreAdj: 500}
}

// A running container: what is asked for changes, at once and in the status; the rest stays, also over a daemon's death.
func TestUpdateRunning(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), asked)
	mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: 20000, MemoryLimitInBytes: 96 << 20})
	if got := limits(h, id); got != "20000 100000 100663296 0" {
		t.Errorf("after the first update: %s", got)
	}
	mustUpdate(h, id, &v1.LinuxContainerResources{CpuShares: 1024, CpusetCpus: "0-1", MemoryLimitInBytes: 48 << 20, OomScoreAdj: 700})
	if got := limits(h, id); got != "20000 100000 50331648 0-1" {
		t.Errorf("after the second update: %s", got)
	}
	want := "1024"
	if unified() {
		want = "100"
	}
	if got := shares(h, id); got != want {
		t.Errorf("shares or weight %s, want %s", got, want)
	}
	if got := h.ExecOut(id, "cat /proc/1/oom_score_adj /proc/self/oom_score_adj"); got != "700\n700" {
		t.Errorf("oom_score_adj of the first process and of an exec: %q", got)
	}
	mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: -1})
	mustUpdate(h, id, &v1.LinuxContainerResources{}) // nothing asked for
	check := func(when string) {
		t.Helper()
		r := h.Status(id).GetResources().GetLinux()
		if r.GetCpuQuota() != -1 || r.GetCpuPeriod() != 100000 || r.GetCpuShares() != 1024 || r.GetMemoryLimitInBytes() != 48<<20 ||
			r.GetCpusetCpus() != "0-1" || r.GetOomScoreAdj() != 700 {
			t.Errorf("status %s: %v", when, r)
		}
		if got := limits(h, id); got != "-1 100000 50331648 0-1" && got != "max 100000 50331648 0-1" {
			t.Errorf("limits %s: %s", when, got)
		}
	}
	check("after the updates")
	h.KillDaemon()
	h.StartDaemon()
	check("after the daemon's death")
}

// A container that is not started yet: its start finds the new limits, also when the daemon died in between.
func TestUpdateCreated(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, restart := range []bool{false, true} {
		id := h.Create(pod, h.ContainerConfig([]string{"/bin/sleep", "1000"}, asked))
		mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: 30000, MemoryLimitInBytes: 32 << 20, OomScoreAdj: 600})
		if restart {
			h.KillDaemon()
			h.StartDaemon()
		}
		h.StartContainer(id)
		if got := limits(h, id); got != "30000 100000 33554432 0" {
			t.Errorf("daemon restarted: %v: %s", restart, got)
		}
		if got := h.ExecOut(id, "cat /proc/1/oom_score_adj"); got != "600" {
			t.Errorf("daemon restarted: %v: oom_score_adj %s", restart, got)
		}
		if r := h.Status(id).GetResources().GetLinux(); r.GetCpuQuota() != 30000 || r.GetCpuShares() != 512 {
			t.Errorf("daemon restarted: %v: status %v", restart, r)
		}
	}
}

// The kernel refuses the last part: the parts before it are as they were.
func TestUpdateAllOrNothing(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), asked)
	before := limits(h, id)
	err := update(h, id, &v1.LinuxContainerResources{CpuQuota: 10000, CpuPeriod: 40000, CpuShares: 2, MemoryLimitInBytes: 16 << 20, CpusetCpus: "8000"})
	if err == nil || !strings.Contains(err.Error(), "cpuset.cpus") {
		t.Fatalf("a CPU that does not exist: %v", err)
	}
	if got := limits(h, id); got != before {
		t.Errorf("limits are %s, were %s", got, before)
	}
	if r := h.Status(id).GetResources().GetLinux(); r.GetCpuQuota() != 50000 || r.GetMemoryLimitInBytes() != 64<<20 || r.GetCpusetCpus() != "0" {
		t.Errorf("status %v", r)
	}
	mustUpdate(h, id, &v1.LinuxContainerResources{CpuQuota: 10000}) // and it can still be updated
}

// A memory limit below what the container uses is refused, not enforced by killing it.
func TestUpdateBelowUse(t *testing.T) {
	if swaps, _ := os.ReadFile("/proc/swaps"); strings.Count(string(swaps), "\n") > 1 {
		t.Skip("this machine swaps: the kernel can make room")
	}
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"/bin/sh", "-c", "head -c 33554432 /dev/zero > /dev/shm/x; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"}, asked)
	for deadline := time.Now().Add(host.Limit); h.ExecOut(id, "stat -c %s /dev/shm/x || true") != "33554432"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the file is not written")
		}
	}
	mustUpdate(h, id, &v1.LinuxContainerResources{MemoryLimitInBytes: 48 << 20}) // above the use
	mustUpdate(h, id, &v1.LinuxContainerResources{MemoryLimitInBytes: 64 << 20})
	if err := update(h, id, &v1.LinuxContainerResources{MemoryLimitInBytes: 8 << 20}); err == nil {
		t.Error("a limit of 8 MiB was accepted over 32 MiB in use")
	}
	if got := limits(h, id); got != "50000 100000 67108864 0" {
		t.Errorf("limits are %s", got)
	}
	if s := h.Status(id); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v, %s", s.State, s.Reason)
	}
}

// Every refused value, at a creation and at an update, and every state in which there is nothing to update.
func TestRefusedResources(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod, asked)
	unifiedOf := func(key, value string) *v1.LinuxContainerResources {
		return &v1.LinuxContainerResources{Unified: map[string]string{key: value}}
	}
	for _, c := range []struct {
		field string
		r     *v1.LinuxContainerResources
	}{
		{"cpu_period", &v1.LinuxContainerResources{CpuPeriod: 999}},
		{"cpu_period", &v1.LinuxContainerResources{CpuPeriod: 1000001}},
		{"cpu_quota", &v1.LinuxContainerResources{CpuQuota: 999}},
		{"cpu_quota", &v1.LinuxContainerResources{CpuQuota: -2}},
		{"cpu_shares", &v1.LinuxContainerResources{CpuShares: 1}},
		{"cpu_shares", &v1.LinuxContainerResources{CpuShares: 262145}},
		{"memory_limit_in_bytes", &v1.LinuxContainerResources{MemoryLimitInBytes: -2}},
		{"memory_swap_limit_in_bytes", &v1.LinuxContainerResources{MemorySwapLimitInBytes: 1 << 20}},
		{"memory_swap_limit_in_bytes", &v1.LinuxContainerResources{MemoryLimitInBytes: 2 << 20, MemorySwapLimitInBytes: 1 << 20}},
		{"oom_score_adj", &v1.LinuxContainerResources{OomScoreAdj: 1001}},
		{"cpuset_cpus", &v1.LinuxContainerResources{CpusetCpus: "1-"}},
		{"cpuset_mems", &v1.LinuxContainerResources{CpusetMems: "x"}},
		{"page_size", &v1.LinuxContainerResources{HugepageLimits: []*v1.HugepageLimit{{PageSize: "2mb"}}}},
		{"unified", unifiedOf("memory.reclaim", "1")},
		{"unified", unifiedOf("cgroup.procs", "1")},
		{"unified", unifiedOf("../memory.max", "1")},
		{"unified", unifiedOf("no.such", "1")},
		{"unified", unifiedOf("memory.high", "")},
	} {
		h.WantCode(update(h, id, c.r), codes.InvalidArgument, c.field)
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, func(config *v1.ContainerConfig) { config.Linux.Resources = c.r }))
		h.WantCode(err, codes.InvalidArgument, c.field)
	}
	if !unified() { // a controller of v1 has no v2 files
		h.WantCode(update(h, id, unifiedOf("memory.high", "max")), codes.InvalidArgument, "unified", "memory.high")
	}
	if got := limits(h, id); got != "50000 100000 67108864 0" {
		t.Errorf("limits are %s", got)
	}
	h.WantCode(update(h, strings.Repeat("0", 64), &v1.LinuxContainerResources{CpuShares: 2}), codes.NotFound)
	h.StopContainer(id, 10)
	h.WantCode(update(h, id, &v1.LinuxContainerResources{CpuShares: 2}), codes.FailedPrecondition, "exited")
}

// The raw files of cgroup v2, as the kubelet's memory QoS sends them.
func TestUnifiedResources(t *testing.T) {
	if !unified() {
		t.Skip("this machine has no cgroup v2 controllers (run in the VM: tests/vm/run)")
	}
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Linux.Resources = &v1.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, Unified: map[string]string{
			"memory.min": "1048576", "memory.low": "2097152", "memory.high": "50331648", "memory.oom.group": "1", "memory.swap.max": "0"}}
	})
	files := "cd /sys/fs/cgroup; echo $(cat memory.min memory.low memory.high memory.oom.group memory.max)"
	if got := h.ExecOut(id, files); got != "1048576 2097152 50331648 1 67108864" {
		t.Errorf("at the start: %s", got)
	}
	mustUpdate(h, id, &v1.LinuxContainerResources{Unified: map[string]string{"memory.high": "max", "memory.min": "0"}})
	if got := h.ExecOut(id, files); got != "0 2097152 max 1 67108864" {
		t.Errorf("after an update: %s", got)
	}
	if r := h.Status(id).GetResources().GetLinux().GetUnified(); r["memory.high"] != "max" || r["memory.low"] != "2097152" {
		t.Errorf("status: %v", r)
	}
}

// The other limits reach the kernel: huge pages where it has them, and the weight.
func TestOtherLimits(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(), func(c *v1.ContainerConfig) {
		c.Linux.Resources = &v1.LinuxContainerResources{CpuShares: 102, CpusetMems: "0", MemoryLimitInBytes: 32 << 20, MemorySwapLimitInBytes: 48 << 20,
			HugepageLimits: []*v1.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}}}
	})
	want := "102"
	if unified() {
		want = "17"
	}
	if got := shares(h, id); got != want {
		t.Errorf("shares or weight %s, want %s", got, want)
	}
	swap := h.ExecOut(id, "cd /sys/fs/cgroup; cat memory.swap.max memory/memory.memsw.limit_in_bytes 2>/dev/null || true")
	if swap != "" && swap != "16777216" && swap != "50331648" { // swap alone on v2, with memory on v1; none without accounting
		t.Errorf("swap limit %q", swap)
	}
	huge := h.ExecOut(id, "cd /sys/fs/cgroup; cat hugetlb.2MB.max hugetlb/hugetlb.2MB.limit_in_bytes 2>/dev/null || true")
	if huge != "" && huge != "4194304" {
		t.Errorf("limit of huge pages %q", huge)
	}
}

// UpdatePodSandboxResources: recorded and shown; the limits of the pod's cgroup are the kubelet's.
func TestUpdatePodSandboxResources(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) { c.Linux.Resources = &v1.LinuxContainerResources{CpuShares: 7} })
	ctx := context.Background()
	info := func() string {
		reply, err := h.Raw.PodSandboxStatus(ctx, &v1.PodSandboxStatusRequest{PodSandboxId: pod.ID, Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		return reply.Info["info"]
	}
	if got := info(); !strings.Contains(got, `"resources":{"cpuShares":7}`) {
		t.Errorf("at the start: %s", got)
	}
	change := &v1.UpdatePodSandboxResourcesRequest{PodSandboxId: pod.ID,
		Overhead:  &v1.LinuxContainerResources{MemoryLimitInBytes: 1 << 20},
		Resources: &v1.LinuxContainerResources{CpuQuota: 20000, CpuPeriod: 100000}}
	if _, err := h.Raw.UpdatePodSandboxResources(ctx, change); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		got := info()
		if !strings.Contains(got, `"resources":{"cpuPeriod":100000,"cpuQuota":20000}`) || !strings.Contains(got, `"overhead":{"memoryLimitInBytes":1048576}`) {
			t.Errorf("after the update: %s", got)
		}
	}
	check()
	h.KillDaemon()
	h.StartDaemon()
	check()
	_, err := h.Raw.UpdatePodSandboxResources(ctx, &v1.UpdatePodSandboxResourcesRequest{PodSandboxId: pod.ID, Resources: &v1.LinuxContainerResources{CpuShares: 1}})
	h.WantCode(err, codes.InvalidArgument, "cpu_shares")
	_, err = h.Raw.UpdatePodSandboxResources(ctx, &v1.UpdatePodSandboxResourcesRequest{PodSandboxId: strings.Repeat("0", 64)})
	h.WantCode(err, codes.NotFound)
	h.StopPod(pod.ID)
	_, err = h.Raw.UpdatePodSandboxResources(ctx, change)
	h.WantCode(err, codes.FailedPrecondition)
}

// A child of the first process is killed for memory: the first process goes on, and the reason says what happened.
func TestOOMOfChild(t *testing.T) {
	h := host.Start(t, host.Options{})
	s, out, _ := h.Sh(h.Pod(), "dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; echo child $?; exit 3", func(c *v1.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes = 15 << 20
	})
	if s.Reason != "OOMKilled" || s.ExitCode != 3 || out != "child 137" {
		t.Errorf("exit code %d, reason %q, output %q; want 3, OOMKilled, child 137", s.ExitCode, s.Reason, out)
	}
}

// With memory.oom.group the whole container goes at once.
func TestOOMGroup(t *testing.T) {
	if !unified() {
		t.Skip("this machine has no cgroup v2 controllers (run in the VM: tests/vm/run)")
	}
	h := host.Start(t, host.Options{})
	s, out, _ := h.Sh(h.Pod(), "dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; echo child $?; exit 3", func(c *v1.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes = 15 << 20
		c.Linux.Resources.Unified = map[string]string{"memory.oom.group": "1"}
	})
	if s.Reason != "OOMKilled" || s.ExitCode != 137 || out != "" {
		t.Errorf("exit code %d, reason %q, output %q; want 137, OOMKilled, nothing", s.ExitCode, s.Reason, out)
	}
}
