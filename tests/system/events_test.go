package system

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

type eventStream = grpc.ServerStreamingClient[v1.ContainerEventResponse]

// subscribe opens a stream on a connection of its own; when it returns, no later event is missed.
func subscribe(h *host.Host) eventStream {
	h.Helper()
	conn, err := grpc.NewClient("unix://"+h.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	h.Cleanup(cancel)
	stream, err := v1.NewRuntimeServiceClient(conn).GetContainerEvents(ctx, &v1.GetEventsRequest{})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		h.Fatalf("GetContainerEvents: %v", err)
	}
	return stream
}

func next(h *host.Host, stream eventStream) *v1.ContainerEventResponse {
	h.Helper()
	event, err := stream.Recv()
	if err != nil {
		h.Fatalf("next event: %v", err)
	}
	return event
}

func stateIn(event *v1.ContainerEventResponse, id string) string {
	for _, one := range event.ContainersStatuses {
		if one.Id == id {
			return one.State.String()
		}
	}
	return "absent"
}

// A pod's life as its events tell it: order, states of that moment, the pod's status with each.
func TestEventsOfALife(t *testing.T) {
	h := host.Start(t, host.Options{})
	stream := subscribe(h)
	begin := time.Now().UnixNano()
	pod := h.Pod()
	id := h.Sleeper(pod)
	short := h.Run(pod, []string{"sh", "-c", "exit 7"})
	h.WaitExit(short)
	h.StopContainer(id, 10)
	h.RemoveContainer(id)
	h.StopPod(pod.ID)
	h.RemovePod(pod.ID)
	const created, started, stopped, deleted = v1.ContainerEventType_CONTAINER_CREATED_EVENT, v1.ContainerEventType_CONTAINER_STARTED_EVENT,
		v1.ContainerEventType_CONTAINER_STOPPED_EVENT, v1.ContainerEventType_CONTAINER_DELETED_EVENT
	last := begin
	for i, want := range []struct {
		id    string
		kind  v1.ContainerEventType
		state string
	}{
		{pod.ID, created, ""}, {pod.ID, started, ""},
		{id, created, "CONTAINER_CREATED"}, {id, started, "CONTAINER_RUNNING"},
		{short, created, "CONTAINER_CREATED"}, {short, started, "CONTAINER_RUNNING"}, {short, stopped, "CONTAINER_EXITED"},
		{id, stopped, "CONTAINER_EXITED"}, {id, deleted, "absent"},
		{pod.ID, stopped, ""}, {short, deleted, "absent"}, {pod.ID, deleted, ""},
	} {
		event := next(h, stream)
		if event.ContainerId != want.id || event.ContainerEventType != want.kind {
			t.Fatalf("event %d is %v of %s, want %v of %s", i, event.ContainerEventType, event.ContainerId, want.kind, want.id)
		}
		if want.state != "" && stateIn(event, want.id) != want.state {
			t.Errorf("event %d, %v: the container is %s, want %s", i, want.kind, stateIn(event, want.id), want.state)
		}
		if event.CreatedAt < last || event.CreatedAt > time.Now().UnixNano() {
			t.Errorf("event %d has the time %d after %d", i, event.CreatedAt, last)
		}
		last = event.CreatedAt
		if s := event.PodSandboxStatus; s.GetId() != pod.ID || s.GetMetadata().GetName() != pod.Config.Metadata.Name {
			t.Errorf("event %d has the pod %v", i, s)
		}
		if want.id == pod.ID && want.kind == stopped && event.PodSandboxStatus.State != v1.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("the stopped pod is %v", event.PodSandboxStatus.State)
		}
		if want.id == short && want.kind == stopped {
			for _, one := range event.ContainersStatuses {
				if one.Id == short && one.ExitCode != 7 {
					t.Errorf("the stop event says exit code %d", one.ExitCode)
				}
			}
		}
	}
}

// A start that fails is a stop, so that nobody waits for the container.
func TestEventOfAFailedStart(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Create(pod, h.ContainerConfig([]string{"/no/such/program"}))
	stream := subscribe(h)
	if err := h.TryStart(id); err == nil {
		t.Fatal("a program that does not exist was started")
	}
	event := next(h, stream)
	if event.ContainerId != id || event.ContainerEventType != v1.ContainerEventType_CONTAINER_STOPPED_EVENT || stateIn(event, id) != "CONTAINER_EXITED" {
		t.Errorf("%v", event)
	}
}

// Many readers each get every event, once and in the same order; a reader that leaves disturbs nobody, and one too many is
// refused.
func TestEventsManyReaders(t *testing.T) {
	h := host.Start(t, host.Options{})
	const readers, limit = 31, 32
	streams := make([]eventStream, readers)
	for i := range streams {
		streams[i] = subscribe(h)
	}
	leaver, cancel := context.WithCancel(context.Background())
	left, err := h.Raw.GetContainerEvents(leaver, &v1.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := left.Header(); err != nil {
		t.Fatal(err)
	}
	limited, end := context.WithTimeout(context.Background(), host.Limit)
	defer end()
	tooMany, err := h.Raw.GetContainerEvents(limited, &v1.GetEventsRequest{})
	if err == nil {
		_, err = tooMany.Recv()
	}
	h.WantCode(err, codes.ResourceExhausted, fmt.Sprint(limit))
	pod := h.Pod()
	cancel()
	for range 5 {
		h.WaitExit(h.Run(pod, []string{"true"}))
	}
	h.RemovePod(pod.ID)
	const events = 2 + 5*4 + 2
	orders := make([]string, readers)
	var wg sync.WaitGroup
	for i, stream := range streams {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range events {
				event, err := stream.Recv()
				if err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				orders[i] += fmt.Sprintln(event.ContainerId, event.ContainerEventType)
			}
		}()
	}
	wg.Wait()
	for i := range orders {
		if orders[i] != orders[0] {
			t.Errorf("reader %d saw another order:\n%s\nthan reader 0:\n%s", i, orders[i], orders[0])
		}
	}
}

// A reader that never reads while a thousand containers come and go holds up nothing; it is told that it lost events, or cut
// off, while another one gets them all.
func TestEventsReaderThatNeverReads(t *testing.T) {
	h := host.Start(t, host.Options{})
	lazy, keen := subscribe(h), subscribe(h)
	const containers = 1000
	seen := make(chan int, 1)
	go func() {
		deleted := 0
		for deleted < containers {
			event, err := keen.Recv()
			if err != nil {
				t.Errorf("the reader that reads: %v", err)
				break
			}
			if event.ContainerEventType == v1.ContainerEventType_CONTAINER_DELETED_EVENT {
				deleted++
			}
		}
		seen <- deleted
	}()
	pod := h.Pod(host.HostNetwork)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range containers / 4 {
				name := fmt.Sprintf("w%d-%d", worker, i)
				id, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) { c.Metadata.Name, c.LogPath = name, "" }))
				if err == nil {
					_, err = h.Raw.RemoveContainer(context.Background(), &v1.RemoveContainerRequest{ContainerId: id})
				}
				if err != nil {
					t.Errorf("container %s: %v", name, err)
					return
				}
			}
		}()
	}
	wg.Wait()
	select {
	case n := <-seen:
		if n != containers {
			t.Errorf("the reader that reads saw %d removals", n)
		}
	case <-time.After(host.Limit):
		t.Error("the reader that reads did not get all events")
	}
	// More noise than the ring holds, until the lazy one is behind whatever gRPC has buffered for it.
	for range 120 {
		id := h.Create(pod, h.ContainerConfig([]string{"true"}, func(c *v1.ContainerConfig) { c.LogPath = "" }))
		h.RemoveContainer(id)
	}
	for n := 0; ; n++ {
		_, err := lazy.Recv()
		if err == nil {
			continue
		}
		if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Canceled {
			t.Errorf("after %d events the lazy reader got %v", n, err)
		}
		return
	}
}

// A daemon that is asked to stop does not wait for readers of events.
func TestEventsEndWithTheDaemon(t *testing.T) {
	h := host.Start(t, host.Options{NoLeak: true})
	stream := subscribe(h)
	if code := h.Terminate(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	_, err := stream.Recv()
	// By itself, not because the server has cut all calls off.
	h.WantCode(err, codes.Unavailable, "the daemon stops")
}
