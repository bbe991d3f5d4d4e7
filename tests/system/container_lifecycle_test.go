package system

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CREATED, RUNNING, EXITED, gone; each with its times, and the fields of the request unaltered.
func TestContainerLifecycle(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	config := h.ContainerConfig([]string{"/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"},
		func(c *v1.ContainerConfig) { c.Annotations = map[string]string{"note": "x\ny"}; c.Metadata.Attempt = 3 })
	begin := time.Now().UnixNano()
	id := h.Create(pod, config)
	s := h.Status(id)
	if s.State != v1.ContainerState_CONTAINER_CREATED || s.CreatedAt < begin || s.StartedAt != 0 || s.FinishedAt != 0 {
		t.Errorf("created: state %v, times %d %d %d", s.State, s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	if s.Metadata.String() != config.Metadata.String() || s.Annotations["note"] != "x\ny" || s.Labels["io.kubernetes.container.name"] != config.Metadata.Name {
		t.Errorf("metadata %v, labels %v, annotations %v", s.Metadata, s.Labels, s.Annotations)
	}
	if want := pod.Config.LogDirectory + "/" + config.LogPath; s.LogPath != want {
		t.Errorf("log path %q, want %q", s.LogPath, want)
	}
	if s.ImageRef == "" || s.GetImage().GetImage() == "" {
		t.Errorf("image %v, image ref %q", s.Image, s.ImageRef)
	}
	h.StartContainer(id)
	s = h.Status(id)
	if s.State != v1.ContainerState_CONTAINER_RUNNING || s.StartedAt < s.CreatedAt || s.FinishedAt != 0 {
		t.Errorf("running: state %v, times %d %d %d", s.State, s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	h.StopContainer(id, 10)
	s = h.Status(id)
	if s.State != v1.ContainerState_CONTAINER_EXITED || s.FinishedAt < s.StartedAt || s.ExitCode != 0 || s.Reason != "Completed" {
		t.Errorf("exited: state %v, finished %d, code %d, reason %q", s.State, s.FinishedAt, s.ExitCode, s.Reason)
	}
	h.RemoveContainer(id)
	h.RemoveContainer(id)
	_, err := h.Raw.ContainerStatus(context.Background(), &v1.ContainerStatusRequest{ContainerId: id})
	h.WantCode(err, codes.NotFound)
}

// The exit code and its reason, as kubectl prints them.
func TestExitCodes(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, c := range []struct {
		script string
		code   int32
		reason string
	}{
		{"exit 0", 0, "Completed"},
		{"exit 3", 3, "Error"},
		{"exit 255", 255, "Error"},
		{"kill -9 $$; exit 0", 0, "Completed"}, // pid 1 of a pid namespace does not get its own SIGKILL
		{"sh -c 'kill -TERM $$'; exit $?", 143, "Error"},
	} {
		s, _, _ := h.Sh(pod, c.script)
		if s.ExitCode != c.code || s.Reason != c.reason {
			t.Errorf("%q: exit code %d, reason %q, want %d %q", c.script, s.ExitCode, s.Reason, c.code, c.reason)
		}
	}
}

// A container that outgrows its memory limit is OOMKilled with 137, also when only a child of pid 1 was killed.
func TestOOMKilled(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	s, _, _ := h.Sh(pod, "dd if=/dev/zero of=/dev/null bs=40M count=1 2>/dev/null; exit $?", func(c *v1.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes = 15 << 20
		c.Linux.Resources.MemorySwapLimitInBytes = 15 << 20
	})
	if s.Reason != "OOMKilled" || s.ExitCode != 137 {
		t.Errorf("exit code %d, reason %q, want 137 OOMKilled", s.ExitCode, s.Reason)
	}
}

// An entrypoint that is not there: the error names it, and the status says StartError, 128 and the same text.
func TestStartErrorNamesExecutable(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	for _, command := range []string{"/no/such/program", "no-such-program", "/etc/passwd", "/bin"} {
		id := h.Create(pod, h.ContainerConfig([]string{command}))
		err := h.TryStart(id)
		if err == nil || !strings.Contains(err.Error(), command) {
			t.Errorf("StartContainer of %q: %v, want an error that names it", command, err)
			continue
		}
		s := h.Status(id)
		if s.State != v1.ContainerState_CONTAINER_EXITED || s.ExitCode != 128 || s.Reason != "StartError" || !strings.Contains(s.Message, command) {
			t.Errorf("%q: state %v, code %d, reason %q, message %q", command, s.State, s.ExitCode, s.Reason, s.Message)
		}
		h.RemoveContainer(id)
	}
}

// A retry of CreateContainer gets the first one's container; a second StartContainer is refused.
func TestContainerRetryJoins(t *testing.T) {
	if host.IsPeer() {
		t.Skip("containerd answers: name is reserved")
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	config := h.ContainerConfig([]string{"sleep", "1000"})
	ids := make([]string, 6)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if ids[i], err = h.TryCreate(pod, config); err != nil {
				t.Errorf("retry %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("retries made two containers: %s and %s", id, ids[0])
		}
	}
	h.StartContainer(ids[0])
	if err := h.TryStart(ids[0]); err == nil {
		t.Error("a second StartContainer succeeded")
	}
}

// StopContainer: the stop signal, the grace, SIGKILL; it returns only when the container is dead.
func TestStopContainer(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	polite := h.Run(pod, []string{"/bin/sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 1000 & wait $!; done"})
	stubborn := h.Run(pod, []string{"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000 & wait $!; done"})
	own := h.Run(pod, []string{"/bin/sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 1000 & wait $!; done"},
		func(c *v1.ContainerConfig) { c.StopSignal = v1.Signal_SIGNAL_SIGUSR1 })
	for _, id := range []string{polite, stubborn, own} {
		waitForText(h, id, "ready")
	}
	begin := time.Now()
	h.StopContainer(polite, 30)
	if s := h.Status(polite); s.State != v1.ContainerState_CONTAINER_EXITED || s.ExitCode != 7 {
		t.Errorf("polite: %v, code %d, want exited with 7", s.State, s.ExitCode)
	}
	if !host.IsPeer() {
		h.StopContainer(own, 30)
		if s := h.Status(own); s.ExitCode != 9 {
			t.Errorf("own stop signal: code %d, want 9", s.ExitCode)
		}
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("two polite containers took %s", took)
	}
	begin = time.Now()
	h.StopContainer(stubborn, 1)
	if s := h.Status(stubborn); s.State != v1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("stubborn: %v, code %d, want exited with 137", s.State, s.ExitCode)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the grace of 1 s was cut to %s", took)
	}
	now := h.Run(pod, []string{"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1000; done"})
	h.StopContainer(now, 0)
	if s := h.Status(now); s.State != v1.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		t.Errorf("timeout 0: %v, code %d, want exited with 137", s.State, s.ExitCode)
	}
	h.StopContainer(now, 0)
}

// A later stop with a shorter grace is heeded.
func TestStopContainerShorterGrace(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 1000 & wait $!; done"})
	waitForText(h, id, "ready")
	first := make(chan error, 1)
	go func() {
		_, err := h.Raw.StopContainer(context.Background(), &v1.StopContainerRequest{ContainerId: id, Timeout: 1000})
		first <- err
	}()
	waitForText(h, id, "asked") // the first one waits from here on
	soon, cancel := context.WithTimeout(context.Background(), host.Limit)
	defer cancel()
	if _, err := h.Raw.StopContainer(soon, &v1.StopContainerRequest{ContainerId: id}); err != nil {
		t.Errorf("the second StopContainer: %v", err)
	}
	select {
	case err := <-first:
		if err != nil {
			t.Errorf("the first StopContainer: %v", err)
		}
	case <-time.After(host.Limit):
		t.Error("the first StopContainer still waits for its own grace")
	}
}

// CREATED, RUNNING and EXITED containers are all removed, running ones by force.
func TestRemoveContainerInEachState(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	created := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}))
	running := h.Run(pod, []string{"sleep", "1000"})
	exited := h.Run(pod, []string{"true"})
	h.WaitExit(exited)
	for _, id := range []string{created, running, exited} {
		h.RemoveContainer(id)
	}
	if list, err := h.Runtime.ListContainers(context.Background(), nil); err != nil || len(list) != 0 {
		t.Errorf("%d containers are listed, want none (%v)", len(list), err)
	}
}

// Filters: id, state, pod and labels together.
func TestContainerListFilters(t *testing.T) {
	h := host.Start(t, host.Options{})
	a, b := h.Pod(), h.Pod()
	label := func(c *v1.ContainerConfig) { c.Labels["tier"] = "one" }
	one, two, three := h.Run(a, []string{"sleep", "1000"}, label), h.Create(a, h.ContainerConfig(nil)), h.Run(b, []string{"true"}, label)
	h.WaitExit(three)
	running := &v1.ContainerStateValue{State: v1.ContainerState_CONTAINER_RUNNING}
	for _, c := range []struct {
		filter *v1.ContainerFilter
		want   []string
	}{
		{nil, []string{one, two, three}},
		{&v1.ContainerFilter{Id: two}, []string{two}},
		{&v1.ContainerFilter{Id: two[:12]}, []string{two}},
		{&v1.ContainerFilter{PodSandboxId: a.ID}, []string{one, two}},
		{&v1.ContainerFilter{State: running}, []string{one}},
		{&v1.ContainerFilter{LabelSelector: map[string]string{"tier": "one"}}, []string{one, three}},
		{&v1.ContainerFilter{LabelSelector: map[string]string{"tier": "one"}, PodSandboxId: b.ID}, []string{three}},
		{&v1.ContainerFilter{Id: one, State: &v1.ContainerStateValue{State: v1.ContainerState_CONTAINER_EXITED}}, nil},
	} {
		list, err := h.Runtime.ListContainers(context.Background(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, item := range list {
			got = append(got, item.Id)
		}
		if !sameSet(got, c.want) {
			t.Errorf("filter %v finds %v, want %v", c.filter, got, c.want)
		}
	}
}

func sameSet(a, b []string) bool {
	in := map[string]int{}
	for _, x := range a {
		in[x]++
	}
	for _, x := range b {
		in[x]--
	}
	for _, n := range in {
		if n != 0 {
			return false
		}
	}
	return true
}

func waitForText(h *host.Host, id, text string) {
	h.Helper()
	waitFor(h, "log of "+id[:8]+" to have "+text, func() bool {
		for _, line := range h.Lines(id) {
			if strings.Contains(line.Text, text) {
				return true
			}
		}
		return false
	})
}

// waitFor polls a condition; the deadline only ends a hang.
func waitFor(h *host.Host, what string, met func() bool) {
	h.Helper()
	for deadline := time.Now().Add(host.Limit); !met(); {
		if time.Now().After(deadline) {
			h.Fatalf("waited %s for %s", host.Limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
