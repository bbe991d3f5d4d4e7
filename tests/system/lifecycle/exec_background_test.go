package lifecycle

import (
	"context"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

func background(h *host.Host, id, script string) {
	ctx, cancel := context.WithTimeout(context.Background(), host.Limit)
	defer cancel()
	reply, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Timeout: 50, Cmd: []string{"sh", "-c", script}})
	if err != nil || reply.ExitCode != 0 {
		h.Errorf("exec %q: exit code %d, %v", script, reply.GetExitCode(), err)
	}
}

// A background child goes on after its exec, in the exec's own cgroup; that goes with the child, while the container lives.
func TestExecGroupGoesWithLastProcess(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	background(h, id, "mkfifo /tmp/end; (read x </tmp/end) & sleep 1000 & echo $! >/tmp/pid")
	if groups := execGroups(pod); len(groups) != 1 {
		t.Fatalf("cgroups of the exec: %q, want one", groups)
	}
	background(h, id, "kill $(cat /tmp/pid)")
	waitFor(h, "the end of sleep", func() bool { return h.ExecOut(id, "pidof sleep | wc -w") == "1" }) // the sleeper's own
	if groups := execGroups(pod); len(groups) != 1 {
		t.Errorf("cgroups of the exec with one child left: %q, want one", groups)
	}
	background(h, id, "echo x >/tmp/end")
	waitFor(h, "the exec's cgroup to go", func() bool { return len(execGroups(pod)) == 0 })
}

// The next daemon takes over the groups that the last one left.
func TestExecGroupAfterRestart(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	id := h.Sleeper(pod)
	background(h, id, "mkfifo /tmp/end; (read x </tmp/end) &")
	h.KillDaemon()
	h.StartDaemon()
	if groups := execGroups(pod); len(groups) != 1 {
		t.Fatalf("cgroups of the exec: %q, want one", groups)
	}
	background(h, id, "echo x >/tmp/end")
	waitFor(h, "the exec's cgroup to go", func() bool { return len(execGroups(pod)) == 0 })
}

// Execs that leave a child behind, ten at a time (CRISP_EXECS: how many): nothing is left of them once the children are gone.
func TestExecBackgroundMany(t *testing.T) {
	h := host.Start(t, host.Options{})
	total := 400
	if n, err := strconv.Atoi(os.Getenv("CRISP_EXECS")); err == nil {
		total = n
	}
	pod := h.Pod()
	id := h.Sleeper(pod)
	run := func(count int) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for next.Add(1) <= int64(count) && !t.Failed() {
					background(h, id, "sleep 3 &")
				}
			}()
		}
		wg.Wait()
		waitFor(h, "the execs' cgroups to go", func() bool { return len(execGroups(pod)) == 0 })
	}
	run(min(total/2, 200)) // threads and buffers of ten calls at a time are there from here on
	type picture struct{ fds, threads, kilobytes, keeperFds, keeperThreads, keeperKilobytes int }
	look := func() (p picture) {
		p.fds, p.threads, p.kilobytes = figures(h.DaemonPid())
		p.keeperFds, p.keeperThreads, p.keeperKilobytes = figures(h.KeeperPids()[0])
		return p
	}
	before := look()
	begin := time.Now()
	run(total)
	var after picture
	// A handful of gRPC's own threads and sockets come and go.
	same := func() bool {
		after = look()
		return after.fds <= before.fds+2 && after.threads <= before.threads+3 && after.kilobytes <= before.kilobytes+4096 &&
			after.keeperFds <= before.keeperFds && after.keeperThreads <= before.keeperThreads && after.keeperKilobytes <= before.keeperKilobytes+256
	}
	for deadline := time.Now().Add(30 * time.Second); !same(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %d execs: %+v, before %+v", total, after, before)
		}
	}
	t.Logf("%d execs in %s: %+v, before %+v", total, time.Since(begin), after, before)
}
