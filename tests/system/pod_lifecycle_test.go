package system

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// A pod is listed READY, then NOTREADY, then gone; each verb may be repeated.
func TestPodLifecycle(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	if got := podStates(h, pod.ID); got != "SANDBOX_READY" {
		t.Errorf("after RunPodSandbox the list says %q", got)
	}
	h.StopPod(pod.ID)
	if got := podStates(h, pod.ID); got != "SANDBOX_NOTREADY" {
		t.Errorf("after StopPodSandbox the list says %q", got)
	}
	h.StopPod(pod.ID)
	h.RemovePod(pod.ID)
	if got := podStates(h, pod.ID); got != "" {
		t.Errorf("after RemovePodSandbox the list says %q", got)
	}
	h.RemovePod(pod.ID)
	h.StopPod(pod.ID)
}

// PodSandboxStatus returns what was asked for, unaltered.
func TestPodStatus(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(func(c *v1.PodSandboxConfig) {
		c.Labels["strange label"] = "välue\n\"x\""
		c.Annotations["a/b"] = "{\"json\": [1,2]}"
		c.Metadata.Attempt = 7
	})
	reply, err := h.Runtime.PodSandboxStatus(context.Background(), pod.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	s := reply.Status
	if s.Id != pod.ID || s.State != v1.PodSandboxState_SANDBOX_READY || s.CreatedAt <= 0 {
		t.Errorf("id %q, state %v, created at %d", s.Id, s.State, s.CreatedAt)
	}
	if s.Metadata.String() != pod.Config.Metadata.String() {
		t.Errorf("metadata %v, want %v", s.Metadata, pod.Config.Metadata)
	}
	if fmt.Sprint(s.Labels) != fmt.Sprint(pod.Config.Labels) || fmt.Sprint(s.Annotations) != fmt.Sprint(pod.Config.Annotations) {
		t.Errorf("labels %v, annotations %v", s.Labels, s.Annotations)
	}
	if s.GetNetwork().GetIp() == "" {
		t.Error("no pod address")
	}
	if got := s.GetLinux().GetNamespaces().GetOptions(); got.GetPid() != v1.NamespaceMode_CONTAINER {
		t.Errorf("namespace options %v", got)
	}
}

// A removal of a pod with running containers ends them.
func TestPodRemoveForces(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done"})
	h.RemovePod(pod.ID)
	_, err := h.Raw.ContainerStatus(context.Background(), &v1.ContainerStatusRequest{ContainerId: id})
	h.WantCode(err, codes.NotFound)
	if got := podStates(h, pod.ID); got != "" {
		t.Errorf("after RemovePodSandbox the list says %q", got)
	}
}

// Unknown ids: NotFound where the kubelet relies on it, success where it must be idempotent.
func TestUnknownIds(t *testing.T) {
	h := host.Start(t, host.Options{})
	ctx := context.Background()
	const id = "0123456789012345678901234567890123456789012345678901234567890123"
	_, err := h.Raw.PodSandboxStatus(ctx, &v1.PodSandboxStatusRequest{PodSandboxId: id})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.ContainerStatus(ctx, &v1.ContainerStatusRequest{ContainerId: id})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.StartContainer(ctx, &v1.StartContainerRequest{ContainerId: id})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.ReopenContainerLog(ctx, &v1.ReopenContainerLogRequest{ContainerId: id})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.CreateContainer(ctx, &v1.CreateContainerRequest{PodSandboxId: id, Config: h.ContainerConfig(nil), SandboxConfig: h.PodConfig()})
	h.WantCode(err, codes.NotFound)
	_, err = h.Raw.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: id})
	h.WantCode(err, codes.OK)
	_, err = h.Raw.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: id})
	h.WantCode(err, codes.OK)
	_, err = h.Raw.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: id})
	h.WantCode(err, codes.OK)
	_, err = h.Raw.RemoveContainer(ctx, &v1.RemoveContainerRequest{ContainerId: id})
	h.WantCode(err, codes.OK)
}

// Retries of one request, at the same time and later, all get the first one's result.
func TestPodRetryJoins(t *testing.T) {
	if host.IsPeer() {
		t.Skip("containerd answers: name is reserved")
	}
	h := host.Start(t, host.Options{})
	config := h.PodConfig()
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if pod, err := h.TryPod(config); err != nil {
				t.Errorf("retry %d: %v", i, err)
			} else {
				ids[i] = pod.ID
			}
		}()
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("retries made two pods: %s and %s", id, ids[0])
		}
	}
	later, err := h.TryPod(config)
	if err != nil || later.ID != ids[0] {
		t.Errorf("a later retry: %v, %v, want %s", later, err, ids[0])
	}
	list, _ := h.Runtime.ListPodSandbox(context.Background(), nil)
	if len(list) != 1 {
		t.Errorf("%d pods are listed, want 1", len(list))
	}
}

// Filters: id, state and labels together.
func TestPodListFilters(t *testing.T) {
	h := host.Start(t, host.Options{})
	a, b := h.Pod(func(c *v1.PodSandboxConfig) { c.Labels["tier"] = "a" }), h.Pod(func(c *v1.PodSandboxConfig) { c.Labels["tier"] = "b" })
	h.StopPod(b.ID)
	ready := &v1.PodSandboxStateValue{State: v1.PodSandboxState_SANDBOX_READY}
	for _, c := range []struct {
		filter *v1.PodSandboxFilter
		want   []string
	}{
		{nil, []string{a.ID, b.ID}},
		{&v1.PodSandboxFilter{Id: a.ID}, []string{a.ID}},
		{&v1.PodSandboxFilter{Id: a.ID[:13]}, []string{a.ID}},
		{&v1.PodSandboxFilter{State: ready}, []string{a.ID}},
		{&v1.PodSandboxFilter{LabelSelector: map[string]string{"tier": "b"}}, []string{b.ID}},
		{&v1.PodSandboxFilter{LabelSelector: map[string]string{"tier": "b"}, State: ready}, nil},
		{&v1.PodSandboxFilter{Id: "0000"}, nil},
	} {
		list, err := h.Runtime.ListPodSandbox(context.Background(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, pod := range list {
			got[pod.Id] = true
		}
		if len(got) != len(c.want) {
			t.Errorf("filter %v finds %d pods, want %d", c.filter, len(got), len(c.want))
		}
		for _, id := range c.want {
			if !got[id] {
				t.Errorf("filter %v misses %s", c.filter, id)
			}
		}
	}
}

func podStates(h *host.Host, id string) string {
	h.Helper()
	list, err := h.Runtime.ListPodSandbox(context.Background(), &v1.PodSandboxFilter{Id: id})
	if err != nil {
		h.Fatal(err)
	}
	states := ""
	for _, pod := range list {
		states += pod.State.String()
	}
	return states
}
