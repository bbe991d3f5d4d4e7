package system

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"

	"crisp.test/tests/system/host"
)

// limited gives a container limits that show in its statistics.
func limited(c *v1.ContainerConfig) {
	c.Linux.Resources = &v1.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 200000, CpuShares: 1024,
		MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20}
}

// busy has used CPU time, holds 8 MiB of memory, and has written 1 MiB to its layer, when it says so.
const busy = `head -c 1048576 /dev/zero > /written; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo ready; sleep 1000`

func runBusy(h *host.Host, pod *host.Pod, edits ...host.Container) string {
	h.Helper()
	id := h.Run(pod, []string{"/bin/sh", "-c", busy}, append([]host.Container{limited}, edits...)...)
	waitFor(h, "the container to have worked", func() bool { data, _ := os.ReadFile(h.LogPath(id)); return len(data) > 0 })
	return id
}

func containerStats(h *host.Host, id string) *v1.ContainerStats {
	h.Helper()
	stats, err := h.Runtime.ContainerStats(context.Background(), id)
	if err != nil {
		h.Fatalf("ContainerStats: %v", err)
	}
	return stats
}

// ContainerStats: attributes, and each resource with a time and a plausible amount.
func TestContainerStats(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	begin := time.Now().UnixNano()
	id := runBusy(h, pod, func(c *v1.ContainerConfig) { c.Annotations = map[string]string{"a": "b"} })
	s := containerStats(h, id)
	if s.Attributes.Id != id || s.Attributes.Metadata.Name == "" || s.Attributes.Labels["io.kubernetes.container.name"] == "" || s.Attributes.Annotations["a"] != "b" {
		t.Errorf("attributes %v", s.Attributes)
	}
	for name, at := range map[string]int64{"cpu": s.Cpu.GetTimestamp(), "memory": s.Memory.GetTimestamp(),
		"layer": s.WritableLayer.GetTimestamp(), "swap": s.Swap.GetTimestamp(), "io": s.Io.GetTimestamp()} {
		if at < begin || at > time.Now().UnixNano() {
			t.Errorf("%s has the time %d", name, at)
		}
	}
	if used := s.Cpu.GetUsageCoreNanoSeconds().GetValue(); used < 1e6 || used > 60e9 {
		t.Errorf("CPU time %d ns", used)
	}
	if s.Cpu.GetUsageNanoCores() == nil || s.Cpu.UsageNanoCores.Value == 0 {
		t.Errorf("no CPU rate: %v", s.Cpu)
	}
	m := s.Memory
	if m.UsageBytes.Value < 1<<16 || m.UsageBytes.Value > 64<<20 || m.WorkingSetBytes.Value > m.UsageBytes.Value || m.PageFaults.Value == 0 {
		t.Errorf("memory %v", m)
	}
	if got, want := m.AvailableBytes.GetValue(), uint64(64<<20)-m.WorkingSetBytes.Value; got != want {
		t.Errorf("available memory %d, want %d", got, want)
	}
	if layer := s.WritableLayer; layer.UsedBytes.Value < 1<<20 || layer.UsedBytes.Value > 2<<20 || layer.InodesUsed.Value < 2 || layer.InodesUsed.Value > 50 {
		t.Errorf("writable layer %v", layer)
	}
	if _, err := os.Stat(s.WritableLayer.FsId.Mountpoint); err != nil {
		t.Errorf("the layer's mount point: %v", err)
	}
	if info, err := h.RawImg.ImageFsInfo(context.Background(), &v1.ImageFsInfoRequest{}); err != nil || info.ImageFilesystems[0].FsId.Mountpoint != s.WritableLayer.FsId.Mountpoint {
		t.Errorf("ImageFsInfo names another file system: %v, %v", info, err)
	}
}

// Pressure comes from the kernel where it has it; a container that is throttled shows it.
func TestStatsPressure(t *testing.T) {
	if _, err := os.Stat("/proc/pressure/cpu"); err != nil {
		t.Skip("the kernel has no PSI")
	}
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"/bin/sh", "-c", "(while :; do :; done) & (while :; do :; done) & while :; do :; done"},
		func(c *v1.ContainerConfig) { c.Linux.Resources.CpuPeriod, c.Linux.Resources.CpuQuota = 100000, 10000 })
	waitFor(h, "CPU pressure", func() bool {
		s := containerStats(h, id)
		if s.Memory.GetPsi().GetSome() == nil || s.Io.GetPsi().GetFull() == nil {
			t.Fatalf("no memory or io pressure: %v %v", s.Memory, s.Io)
		}
		psi := s.Cpu.GetPsi()
		return psi.GetSome().GetTotal() > 1e6 && psi.GetFull().GetTotal() > 0
	})
}

// The rate follows the last second or more, not the whole life.
func TestStatsCpuRate(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Run(h.Pod(), []string{"/bin/sh", "-c", "while [ ! -e /stop ]; do :; done; sleep 1000"})
	waitFor(h, "a high rate", func() bool { return containerStats(h, id).Cpu.UsageNanoCores.Value > 50_000_000 })
	h.Exec(id, "touch", "/stop")
	waitFor(h, "a low rate", func() bool { return containerStats(h, id).Cpu.UsageNanoCores.Value < 10_000_000 })
}

// Only running containers are listed, by each filter and all of them together.
func TestListContainerStats(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod, other := h.Pod(), h.Pod()
	label := func(value string) host.Container {
		return func(c *v1.ContainerConfig) { c.Labels["kind"] = value }
	}
	a, b, c := h.Sleeper(pod, label("x")), h.Sleeper(pod, label("y")), h.Sleeper(other, label("x"))
	h.Create(pod, h.ContainerConfig([]string{"true"}, label("x"))) // created
	exited := h.Run(pod, []string{"true"}, label("x"))
	h.WaitExit(exited)
	for name, want := range map[string]struct {
		filter *v1.ContainerStatsFilter
		ids    []string
	}{
		"nil":         {nil, []string{a, b, c}},
		"empty":       {&v1.ContainerStatsFilter{}, []string{a, b, c}},
		"id":          {&v1.ContainerStatsFilter{Id: b}, []string{b}},
		"id prefix":   {&v1.ContainerStatsFilter{Id: b[:20]}, []string{b}},
		"pod":         {&v1.ContainerStatsFilter{PodSandboxId: other.ID}, []string{c}},
		"label":       {&v1.ContainerStatsFilter{LabelSelector: map[string]string{"kind": "x"}}, []string{a, c}},
		"pod, label":  {&v1.ContainerStatsFilter{PodSandboxId: pod.ID, LabelSelector: map[string]string{"kind": "x"}}, []string{a}},
		"other value": {&v1.ContainerStatsFilter{LabelSelector: map[string]string{"kind": "z"}}, nil},
		"exited":      {&v1.ContainerStatsFilter{Id: exited}, nil},
		"unknown id":  {&v1.ContainerStatsFilter{Id: "no-such"}, nil},
	} {
		stats, err := h.Runtime.ListContainerStats(context.Background(), want.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var ids []string
		for _, one := range stats {
			ids = append(ids, one.Attributes.Id)
			if one.Cpu.GetTimestamp() == 0 || one.Memory.GetTimestamp() == 0 {
				t.Errorf("%s: %s has no times", name, one.Attributes.Id)
			}
		}
		wantSame(t, name, ids, want.ids)
	}
	// Of one that does not run there are the attributes and nothing else.
	if s := containerStats(h, exited); s.Attributes.GetId() != exited || s.Cpu != nil || s.Memory != nil {
		t.Errorf("statistics of an exited container: %v", s)
	}
}

func wantSame(t *testing.T, name string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// PodSandboxStats: the pod's own numbers, its interfaces, and its containers'.
func TestPodSandboxStats(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := runBusy(h, pod)
	second := h.Sleeper(pod)
	// Traffic that the pod's interface sees.
	h.ExecOut(id, "ping -c 3 -w 30 $(ip route | awk '/default/{print $3}') || ping -c 3 -w 30 10.85.0.1; ip addr")
	s, err := h.Runtime.PodSandboxStats(context.Background(), pod.ID)
	if err != nil {
		t.Fatal(err)
	}
	if s.Attributes.Id != pod.ID || s.Attributes.Metadata.String() != pod.Config.Metadata.String() || s.Attributes.Annotations["kubernetes.io/config.source"] != "api" {
		t.Errorf("attributes %v", s.Attributes)
	}
	l := s.Linux
	var ids []string
	var cpu uint64
	for _, c := range l.Containers {
		ids = append(ids, c.Attributes.Id)
		cpu += c.Cpu.UsageCoreNanoSeconds.Value
	}
	wantSame(t, "containers", ids, []string{id, second})
	if l.Cpu.GetTimestamp() == 0 || l.Cpu.UsageCoreNanoSeconds.Value < cpu || l.Memory.GetTimestamp() == 0 || l.Memory.WorkingSetBytes.Value == 0 {
		t.Errorf("pod cpu %v (containers %d), memory %v", l.Cpu, cpu, l.Memory)
	}
	if n := l.Process.GetProcessCount().GetValue(); n < 3 || n > 6 {
		t.Errorf("%d processes", n)
	}
	net := l.Network
	if net.GetTimestamp() == 0 || net.DefaultInterface.GetName() != "eth0" || net.DefaultInterface.RxBytes.Value == 0 || net.DefaultInterface.TxBytes.Value == 0 {
		t.Errorf("network %v", net)
	}
	for _, other := range net.GetInterfaces() {
		if other.Name == "lo" || other.Name == "eth0" {
			t.Errorf("other interfaces hold %s", other.Name)
		}
	}
}

// childOf names a parent of pods below another one, as the kubelet does for each of the cgroup drivers.
func childOf(parent, name string) string {
	slice, ok := strings.CutSuffix(parent[strings.LastIndex(parent, "/")+1:], ".slice")
	if !ok {
		return parent + "/" + name
	}
	return parent + "/" + slice + "-" + strings.ReplaceAll(name, "-", "_") + ".slice"
}

// The pod's own cgroup, as the kubelet makes it, also counts what an ended container used; a cgroup shared by pods is not
// taken for one pod's.
func TestPodStatsOwnCgroup(t *testing.T) {
	h := host.Start(t, host.Options{})
	parent := h.PodConfig().Linux.CgroupParent
	own := h.Pod(func(c *v1.PodSandboxConfig) {
		c.Metadata.Uid = "aa-bb"
		c.Linux.CgroupParent = childOf(parent, "podaa-bb")
	})
	shared := []*host.Pod{}
	for range 2 {
		shared = append(shared, h.Pod(func(c *v1.PodSandboxConfig) { c.Linux.CgroupParent = childOf(parent, "shared") }))
	}
	keep := h.Sleeper(own)
	worker := h.Run(own, []string{"sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo x; sleep 1000"})
	waitFor(h, "work", func() bool { data, _ := os.ReadFile(h.LogPath(worker)); return len(data) > 0 })
	used := containerStats(h, worker).Cpu.UsageCoreNanoSeconds.Value
	h.StopContainer(worker, 0)
	h.RemoveContainer(worker)
	s, err := h.Runtime.PodSandboxStats(context.Background(), own.ID)
	if err != nil || len(s.Linux.Containers) != 1 || s.Linux.Containers[0].Attributes.Id != keep {
		t.Fatalf("%v, %v", s, err)
	}
	if pod := s.Linux.Cpu.UsageCoreNanoSeconds.Value; pod < used {
		t.Errorf("the pod used %d ns, its ended container alone %d", pod, used)
	}
	spinner := h.Run(shared[0], []string{"sh", "-c", "while :; do :; done"})
	h.Sleeper(shared[1])
	waitFor(h, "CPU use of the spinner", func() bool { return containerStats(h, spinner).Cpu.UsageCoreNanoSeconds.Value > 1e9 })
	idle, err := h.Runtime.PodSandboxStats(context.Background(), shared[1].ID)
	if err != nil || idle.Linux.Cpu.UsageCoreNanoSeconds.Value > 9e8 {
		t.Errorf("a pod that does nothing: %v, %v", idle.GetLinux().GetCpu(), err)
	}
}

// Ready pods are listed, also those without a container and without a network of their own.
func TestListPodSandboxStats(t *testing.T) {
	h := host.Start(t, host.Options{})
	empty := h.Pod(func(c *v1.PodSandboxConfig) { c.Labels["kind"] = "empty" })
	node := h.Pod(host.HostNetwork)
	stopped := h.Pod()
	h.StopPod(stopped.ID)
	for name, want := range map[string]struct {
		filter *v1.PodSandboxStatsFilter
		ids    []string
	}{
		"nil":         {nil, []string{empty.ID, node.ID}},
		"id":          {&v1.PodSandboxStatsFilter{Id: node.ID}, []string{node.ID}},
		"label":       {&v1.PodSandboxStatsFilter{LabelSelector: map[string]string{"kind": "empty"}}, []string{empty.ID}},
		"id, label":   {&v1.PodSandboxStatsFilter{Id: node.ID, LabelSelector: map[string]string{"kind": "empty"}}, nil},
		"stopped pod": {&v1.PodSandboxStatsFilter{Id: stopped.ID}, nil},
	} {
		stats, err := h.Runtime.ListPodSandboxStats(context.Background(), want.filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var ids []string
		for _, one := range stats {
			ids = append(ids, one.Attributes.Id)
			if own := one.Attributes.Id != node.ID; own != (one.Linux.GetNetwork() != nil) {
				t.Errorf("%s: network of %s: %v", name, one.Attributes.Id, one.Linux.GetNetwork())
			}
		}
		wantSame(t, name, ids, want.ids)
	}
}

// What is refused, with the code on which the kubelet relies: it asks for "" to learn whether pod statistics are implemented.
func TestStatsRefusals(t *testing.T) {
	h := host.Start(t, host.Options{})
	first, second := h.Pod(), h.Pod()
	h.Sleeper(first)
	h.Sleeper(second)
	ctx := context.Background()
	for _, id := range []string{"", "no-such", "0000000000000000000000000000000000000000000000000000000000000000", first.ID + "0"} {
		_, err := h.Raw.ContainerStats(ctx, &v1.ContainerStatsRequest{ContainerId: id})
		h.WantCode(err, codes.NotFound, "container")
		_, err = h.Raw.PodSandboxStats(ctx, &v1.PodSandboxStatsRequest{PodSandboxId: id})
		h.WantCode(err, codes.NotFound, "pod sandbox")
	}
}

// The kubelet's client with streaming lists sees the same as with plain ones.
func TestStreamLists(t *testing.T) {
	h := host.Start(t, host.Options{})
	ctx := context.Background()
	streams, err := cri.NewRemoteRuntimeService(ctx, "unix://"+h.Socket, time.Minute, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close(ctx)
	if list, err := streams.ListPodSandbox(ctx, nil); err != nil || len(list) != 0 {
		t.Errorf("an empty list: %v, %v", list, err)
	}
	pod, other := h.Pod(), h.Pod()
	a, b := h.Sleeper(pod), h.Sleeper(other)
	pods, err := streams.ListPodSandbox(ctx, nil)
	if err != nil || len(pods) != 2 || pods[0].Id == pods[1].Id || pods[0].Metadata.GetName() == "" {
		t.Errorf("pods %v, %v", pods, err)
	}
	containers, err := streams.ListContainers(ctx, &v1.ContainerFilter{PodSandboxId: pod.ID})
	if err != nil || len(containers) != 1 || containers[0].Id != a || containers[0].State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("containers %v, %v", containers, err)
	}
	stats, err := streams.ListContainerStats(ctx, &v1.ContainerStatsFilter{Id: b})
	if err != nil || len(stats) != 1 || stats[0].Attributes.Id != b || stats[0].Memory.GetTimestamp() == 0 {
		t.Errorf("container statistics %v, %v", stats, err)
	}
	podStats, err := streams.ListPodSandboxStats(ctx, &v1.PodSandboxStatsFilter{Id: other.ID})
	if err != nil || len(podStats) != 1 || len(podStats[0].Linux.Containers) != 1 {
		t.Errorf("pod statistics %v, %v", podStats, err)
	}
	images, err := h.RawImg.StreamImages(ctx, &v1.StreamImagesRequest{Filter: &v1.ImageFilter{Image: &v1.ImageSpec{Image: h.Image}}})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := images.Recv()
	if err != nil || len(reply.Images) != 1 || !slices.Contains(reply.Images[0].RepoTags, h.Image) {
		t.Errorf("images %v, %v", reply, err)
	}
	if _, err := images.Recv(); err != io.EOF {
		t.Errorf("after the last image: %v", err)
	}
}

// A list larger than one message may be comes in several, each pod once.
func TestStreamListInParts(t *testing.T) {
	h := host.Start(t, host.Options{})
	const count = 12
	want := map[string]bool{}
	for i := range count {
		pod := h.Pod(func(c *v1.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = v1.NamespaceMode_NODE
			c.Hostname = ""
			c.Annotations["large"] = fmt.Sprint(i) + string(make([]byte, 200<<10))
		})
		want[pod.ID] = true
	}
	stream, err := h.Raw.StreamPodSandboxes(context.Background(), &v1.StreamPodSandboxesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for {
		reply, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages++
		for _, pod := range reply.PodSandboxes {
			if !want[pod.Id] {
				t.Errorf("%s is unknown or came twice", pod.Id)
			}
			delete(want, pod.Id)
		}
	}
	if len(want) != 0 || messages < 2 {
		t.Errorf("%d pods did not come, in %d messages", len(want), messages)
	}
}

// Descriptors for statistics go with the container and the pod (the leak check compares those of the daemon), also when
// many come and go between two calls.
func TestStatsDescriptorsReturn(t *testing.T) {
	h := host.Start(t, host.Options{})
	open := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.DaemonPid()))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	pod := h.Pod()
	h.Sleeper(pod)
	ask := func() {
		for _, call := range []func() error{
			func() error { _, err := h.Runtime.ListContainerStats(context.Background(), nil); return err },
			func() error { _, err := h.Runtime.ListPodSandboxStats(context.Background(), nil); return err },
		} {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask()
	before := open()
	for range 10 {
		id := h.Run(pod, []string{"sleep", "1000"})
		ask()
		if now := open(); now < before+5 {
			t.Fatalf("%d descriptors with one container more, %d before: are they held at all?", now, before)
		}
		h.StopContainer(id, 0)
		h.RemoveContainer(id)
	}
	waitFor(h, "the descriptors to be closed", func() bool { return open() <= before+2 })
}
