package security

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

//go:embed testdata/ptracer.c
var ptracerSource string

// ptracer builds the attacker, and says how a container runs it.
func ptracer(h *host.Host) host.Container {
	h.Helper()
	source, program := h.Folder+"/ptracer.c", h.Folder+"/ptracer"
	if err := os.WriteFile(source, []byte(ptracerSource), 0o644); err != nil {
		h.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-static", "-o", program, source).CombinedOutput(); err != nil {
		h.Fatalf("gcc: %v: %s", err, out)
	}
	return func(c *v1.ContainerConfig) {
		c.Mounts = append(c.Mounts, &v1.Mount{HostPath: program, ContainerPath: "/ptracer", Readonly: true})
		c.Linux.SecurityContext.Capabilities = &v1.Capability{AddCapabilities: []string{"SYS_PTRACE"}}
	}
}

func sharedPid(c *v1.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_POD
}

func inSharedPid(c *v1.ContainerConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_POD
}

// tryExec runs something that may be killed on its way.
func tryExec(h *host.Host, id string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}, Timeout: 10})
	return err
}

// ambush is a node with an attacker's program, and what must be the same after the attack.
type ambush struct {
	*host.Host
	keepers []int
	daemon  int
	attack  host.Container
}

func newAmbush(t *testing.T) *ambush {
	h := host.Start(t, host.Options{})
	return &ambush{h, h.KeeperPids(), h.DaemonPid(), ptracer(h)}
}

// lie starts the attacker.
func (a *ambush) lie(pod *host.Pod, edits ...host.Container) string {
	canary := a.Folder + "/canary"
	os.WriteFile(canary, nil, 0o644)
	return a.Run(pod, []string{"/ptracer", "lwtk", canary}, append([]host.Container{a.attack}, edits...)...)
}

// end stops the attacker and says what he has achieved: nothing.
func (a *ambush) end(attacker string) {
	a.Helper()
	a.StopContainer(attacker, 0)
	wantIntact(a.Host, attacker, a.keepers, a.daemon)
}

// wantIntact says what the attacker has achieved: nothing.
func wantIntact(h *host.Host, attacker string, keepers []int, daemon int) {
	h.Helper()
	out, errText := h.Written(attacker)
	caught := map[string]int{}
	for _, line := range strings.Split(out, "\n") {
		what, rest, _ := strings.Cut(line, " ")
		switch what {
		case "caught":
			caught[rest]++
		case "ESCAPE":
			h.Errorf("the attacker reaches the node's files %s", rest)
		case "fd":
			if rest != "pipe" && rest != "/dev/null" {
				h.Errorf("the attacker finds descriptor %q in a process that enters", rest)
			}
		case "caps":
			// The default ones, or with the attacker's own CAP_SYS_PTRACE.
			if rest != "00000000a80425fb" && rest != "00000000a80c25fb" {
				h.Errorf("the attacker finds capabilities %s in a process that enters", rest)
			}
		}
	}
	if len(caught) == 0 {
		h.Errorf("the attacker has caught nobody: %q, %q", out, errText)
	}
	h.Logf("caught (l: looked at, w: written to, t: traced, k: killed): %v, late %d times", caught, strings.Count(out, "late"))
	if now := h.KeeperPids(); len(now) != 1 || now[0] != keepers[0] {
		h.Errorf("keeper %v is now %v", keepers, now)
	}
	if h.DaemonPid() != daemon || h.Ping() != nil {
		h.Error("the daemon is not what it was")
	}
}

// S11 (CVE-2016-9962): somebody with CAP_SYS_PTRACE lies in wait for processes that enter his pid namespace. He finds nothing in
// them that he could not have anyway, and what he does to them harms nobody else: they share no memory with the keeper.
func TestS11PtraceOfExec(t *testing.T) {
	h := newAmbush(t)
	id := h.lie(h.Pod())
	other := h.Sleeper(h.Pod())
	var all sync.WaitGroup
	for range 3 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 100 {
				tryExec(h.Host, id, host.Limit)
			}
		}()
	}
	all.Wait()
	h.ExecOut(other, "true")
	h.end(id)
}

// S11: and so for containers that are started into a pid namespace that the attacker shares, and for execs into them.
func TestS11PtraceOfSidecar(t *testing.T) {
	h := newAmbush(t)
	pod := h.Pod(sharedPid)
	id := h.lie(pod, inSharedPid)
	victim := ""
	for range 20 { // its own start may be what is killed
		victim = h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}, inSharedPid))
		if h.TryStart(victim) == nil {
			break
		}
	}
	for range 40 {
		one := h.Create(pod, h.ContainerConfig([]string{"true"}, inSharedPid))
		h.TryStart(one)
		tryExec(h.Host, victim, host.Limit)
		h.RemoveContainer(one)
	}
	h.end(id)
}

// S11: and for execs into a container beside which the attacker came later (kubectl debug --target).
func TestS11PtraceFromDebugContainer(t *testing.T) {
	h := newAmbush(t)
	pod := h.Pod()
	target := h.Sleeper(pod)
	id := h.lie(pod, func(c *v1.ContainerConfig) {
		o := c.Linux.SecurityContext.NamespaceOptions
		o.Pid, o.TargetId = v1.NamespaceMode_TARGET, target
	})
	for range 60 {
		tryExec(h.Host, target, host.Limit)
	}
	killed := h.daemon
	h.KillDaemon()
	h.StartDaemon()
	h.daemon = h.DaemonPid()
	for range 60 {
		tryExec(h.Host, target, host.Limit)
	}
	h.end(id)
	if h.DaemonPid() == killed {
		t.Error("the daemon was not started again")
	}
}

// S11: who is in the node's pid namespace sees the stub of an exec, too; there it has memory of its own.
func TestS11StubBesideHostPid(t *testing.T) {
	h := host.Start(t, host.Options{})
	attack := ptracer(h)
	hostPid := func(c *v1.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_NODE }
	pod := h.Pod(func(c *v1.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_NODE
	})
	target := h.Sleeper(pod, hostPid)
	id := h.Run(pod, []string{"/ptracer", "compare", itoa(h.KeeperPids()[0])}, attack, hostPid)
	out := ""
	for deadline := time.Now().Add(host.Limit); strings.Count(out, "own") < 50; out, _ = h.Written(id) {
		if strings.Contains(out, "SHARED") {
			t.Fatal("a process that the pod sees shares the keeper's memory")
		}
		if time.Now().After(deadline) {
			t.Fatalf("seen: %q", out)
		}
		h.ExecOut(target, "true")
	}
}

// S12: an attacker that stops whoever enters holds up his own execs alone.
func TestS12StoppedExecsHoldNobodyElse(t *testing.T) {
	h := host.Start(t, host.Options{})
	keepers, daemon := h.KeeperPids(), h.DaemonPid()
	attack := ptracer(h)
	// A launch that hangs ends by its deadline after 30 s. So who had to wait for one finds it gone; as does who was held up by
	// something else for so long, and therefore tries again.
	ended := int32(1)
	for try := 0; try < 3 && ended != 0; try++ {
		ended = besideStoppedExecs(h, attack, func() {
			for range 20 {
				if s, _, errText := h.Sh(h.Pod(), "exit 3"); s.ExitCode != 3 {
					t.Errorf("another pod's container: exit code %d (%s)", s.ExitCode, errText)
				}
			}
		})
	}
	if ended != 0 {
		t.Errorf("20 other pods took so long that %d execs that hung had ended", ended)
	}
	if now := h.KeeperPids(); len(now) != 1 || now[0] != keepers[0] || h.DaemonPid() != daemon {
		t.Errorf("keeper %v is now %v", keepers, now)
	}
}

// besideStoppedExecs does something while execs of two containers hang, and says how many of those have ended before it was done.
func besideStoppedExecs(h *host.Host, attack host.Container, do func()) (ended int32) {
	h.Helper()
	var count atomic.Int32
	var all sync.WaitGroup
	var attackers []string
	for range 2 {
		id := h.Run(h.Pod(), []string{"/ptracer", "s", "/none"}, attack)
		attackers = append(attackers, id)
		for range 4 {
			all.Add(1)
			go func() {
				defer all.Done()
				for tryExec(h, id, 2*host.Limit) == nil {
				}
				count.Add(1)
			}()
		}
	}
	for _, id := range attackers {
		for deadline := time.Now().Add(host.Limit); ; time.Sleep(5 * time.Millisecond) {
			if out, _ := h.Written(id); strings.Count(out, "caught s") >= 2 {
				break
			} else if time.Now().After(deadline) {
				h.Fatalf("the attacker stops nobody: %q", out)
			}
		}
	}
	count.Store(0)
	do()
	ended = count.Load()
	for _, id := range attackers {
		h.RemoveContainer(id)
	}
	all.Wait()
	return ended
}
