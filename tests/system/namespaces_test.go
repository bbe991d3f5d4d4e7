package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// podPid and pid set the mode of the pid namespace, for a pod and for a container.
func podPid(mode v1.NamespaceMode) host.Sandbox {
	return func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = mode }
}

func pid(mode v1.NamespaceMode) host.Container {
	return func(c *v1.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = mode }
}

func target(id string) host.Container {
	return func(c *v1.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = v1.NamespaceMode_TARGET
		c.Linux.SecurityContext.NamespaceOptions.TargetId = id
	}
}

// pidsOf are the node's processes with this command line (words joined by blanks).
func pidsOf(cmdline string) []int {
	var pids []int
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if strings.ReplaceAll(strings.TrimRight(string(data), "\x00"), "\x00", " ") != cmdline {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func pausePids() []int { return pidsOf("/crisp-pause") }

func ownNamespace(t *testing.T, name string) string {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// Network, IPC and pid namespace are the node's with NODE, and not with POD or CONTAINER.
func TestNamespaceModes(t *testing.T) {
	h := host.Start(t, host.Options{})
	node := func(o *v1.NamespaceOption) {
		o.Network, o.Ipc, o.Pid = v1.NamespaceMode_NODE, v1.NamespaceMode_NODE, v1.NamespaceMode_NODE
	}
	nodes := func(c *v1.ContainerConfig) { node(c.Linux.SecurityContext.NamespaceOptions) }
	shared := h.Pod(host.HostNetwork, func(c *v1.PodSandboxConfig) { node(c.Linux.SecurityContext.NamespaceOptions) })
	own := h.Pod()
	script := "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid"
	want := []string{ownNamespace(t, "net"), ownNamespace(t, "ipc"), ownNamespace(t, "pid")}
	for _, c := range []struct {
		pod   *host.Pod
		edit  host.Container
		equal bool
	}{{shared, nodes, true}, {own, func(*v1.ContainerConfig) {}, false}} {
		id := h.Sleeper(c.pod, c.edit)
		_, started, _ := h.Sh(c.pod, script, c.edit)
		for from, out := range map[string]string{"start": started, "exec": h.ExecOut(id, script)} {
			got := strings.Split(out, "\n")
			for i := range want {
				if len(got) != 3 || (got[i] == want[i]) != c.equal {
					t.Errorf("%s: namespaces %q, the node's are %q, equal should be %v", from, got, want, c.equal)
					break
				}
			}
		}
	}
	// The node's /dev/shm comes with its IPC namespace.
	const file = "/dev/shm/crisp-namespaces-test"
	if err := os.WriteFile(file, []byte("seen"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	if _, out, _ := h.Sh(shared, "cat "+file, nodes); out != "seen" {
		t.Errorf("with the node's IPC namespace %s has %q", file, out)
	}
	if _, out, _ := h.Sh(own, "cat "+file); out != "" {
		t.Error("a pod with its own IPC namespace sees the node's /dev/shm")
	}
}

// With the host's pid namespace a container sees the daemon, obeys signals at once although it is not pid 1, and leaves no
// process behind when its first one ends.
func TestHostPid(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(podPid(v1.NamespaceMode_NODE))
	id := h.Run(pod, []string{"sleep", "987001"}, pid(v1.NamespaceMode_NODE))
	if got := h.ExecOut(id, fmt.Sprintf("cat /proc/%d/comm", h.DaemonPid())); !host.IsPeer() && got != "crispd" {
		t.Errorf("the daemon's name in the container is %q", got)
	}
	if pids := pidsOf("sleep 987001"); len(pids) != 1 {
		t.Errorf("the container's process is %v on the node", pids)
	} else if got := h.ExecOut(id, "pidof sleep"); !strings.Contains(" "+got+" ", fmt.Sprintf(" %d ", pids[0])) {
		t.Errorf("pidof says %q inside, %d outside", got, pids[0])
	}
	begin := time.Now()
	h.StopContainer(id, 50) // sleep has no handler: the default action ends it
	if took := time.Since(begin); took > 25*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if s := h.Status(id); s.ExitCode != 143 {
		t.Errorf("exit code %d, want 143", s.ExitCode)
	}
	stragglers(t, h, pod, pid(v1.NamespaceMode_NODE))
}

// stragglers checks that a background process ends with the container, whose log ends too.
func stragglers(t *testing.T, h *host.Host, pod *host.Pod, edit host.Container) {
	t.Helper()
	s, out, _ := h.Sh(pod, "sleep 987002 & echo left; exit 4", edit)
	if s.ExitCode != 4 || out != "left" {
		t.Errorf("exit code %d, %q", s.ExitCode, out)
	}
	waitFor(h, "the end of a background process", func() bool { return len(pidsOf("sleep 987002")) == 0 })
}

// Containers of a pod with a shared pid namespace see each other below a first process of ours, which reaps orphans; each
// stops alone; daemon and keeper may die.
func TestSharedPid(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod(podPid(v1.NamespaceMode_POD))
	shared := pid(v1.NamespaceMode_POD)
	first := h.Run(pod, []string{"sleep", "987003"}, shared)
	second := h.Sleeper(pod, shared)
	waitFor(h, "both sleeps", func() bool { return h.ExecOut(second, "pidof sleep | wc -w") == "2" })
	if got := h.ExecOut(second, "tr '\\0' ' ' < /proc/1/cmdline"); strings.Contains(got, "sleep") || strings.Contains(got, "sh") && !strings.Contains(got, "crisp") {
		t.Errorf("pid 1 is %q", got)
	}
	// An orphan of an exec falls to pid 1 and is reaped there.
	h.ExecOut(second, "sh -c '(sleep 0.01; exit 3) & exit 0'")
	waitFor(h, "the end of orphans", func() bool {
		_, _, code := h.Exec(second, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z '")
		return code == 1
	})
	kill := "for p in $(pidof sleep); do if grep -q 987003 /proc/$p/cmdline; then kill -TERM $p; fi; done"
	if _, errText, code := h.Exec(second, "sh", "-c", kill); code != 0 {
		t.Errorf("a signal to the other container: exit code %d, %s", code, errText)
	}
	if s := h.WaitExit(first); s.ExitCode != 143 {
		t.Errorf("exit code %d, want 143", s.ExitCode)
	}
	stragglers(t, h, pod, shared)
	if !host.IsPeer() {
		h.KillDaemon()
		h.StartDaemon()
		h.KillKeeper()
	}
	third := h.Create(pod, h.ContainerConfig([]string{"sleep", "987004"}, shared))
	if !retry(h, "StartContainer", func() error { return h.TryStart(third) }) {
		return
	}
	waitFor(h, "the third container in the second one's /proc", func() bool {
		return h.ExecOut(second, "for p in $(pidof sleep); do grep -c 987004 /proc/$p/cmdline; done | grep -c 1 || true") == "1"
	})
	h.StopContainer(second, 30)
	if s := h.Status(third); s.State != v1.ContainerState_CONTAINER_RUNNING {
		t.Errorf("after the stop of another one: %v", s.State)
	}
	if s := h.Status(second); s.ExitCode != 0 {
		t.Errorf("exit code %d", s.ExitCode)
	}
	if got := pausePids(); !host.IsPeer() && len(got) != 1 {
		t.Errorf("first processes of shared namespaces: %v", got)
	}
	h.StopPod(pod.ID)
	if got := pausePids(); !host.IsPeer() && len(got) != 0 {
		t.Errorf("after the stop of the pod: %v", got)
	}
}

// The containers get only what they would have with a namespace of their own: the masks hold, the first process of the
// namespace gives nothing away, and nothing comes with a join.
func TestSharedPidConfined(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	for name, config := range map[string]string{"all": "", "none": "[debug]\nkernel_features_off = [\"all\"]\n"} {
		t.Run(name, func(t *testing.T) {
			h := host.Start(t, host.Options{Config: config})
			pod := h.Pod(podPid(v1.NamespaceMode_POD))
			id := h.Sleeper(pod, pid(v1.NamespaceMode_POD), func(c *v1.ContainerConfig) {
				c.Linux.SecurityContext.Capabilities = &v1.Capability{AddCapabilities: []string{"SYS_PTRACE"}}
			})
			for script, want := range map[string]string{
				"wc -c < /proc/keys; echo x 2>/dev/null > /proc/sys/kernel/domainname || echo refused": "0\nrefused",
				"grep -E 'CapEff|CapPrm' /proc/1/status | cut -f2 | sort -u":                           "0000000000000000",
				// Through the root of the first process, which who has SYS_PTRACE may enter.
				"cat /proc/1/root/proc/keys 2>/dev/null | wc -c; echo x 2>/dev/null > /proc/1/root/proc/sys/kernel/domainname || echo refused": "0\nrefused",
				"ls /proc/1/fd | tr '\\n' ' '":     "0 1 2",
				"ls /proc/self/fd | wc -l":         "4",
				"grep -c '^overlay ' /proc/mounts": "1",
			} {
				if got := h.ExecOut(id, script); got != want {
					t.Errorf("%q: %q, want %q", script, got, want)
				}
			}
		})
	}
}

// If the first process of a shared pid namespace is killed, its containers end and the pod is not ready; it can be removed.
func TestSharedPidEnds(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod(podPid(v1.NamespaceMode_POD))
	id := h.Sleeper(pod, pid(v1.NamespaceMode_POD))
	pids := pausePids()
	if len(pids) != 1 {
		t.Fatalf("first processes: %v", pids)
	}
	syscall.Kill(pids[0], syscall.SIGTERM)
	if s := h.WaitExit(id); s.ExitCode != 137 {
		t.Errorf("exit code %d", s.ExitCode)
	}
	waitFor(h, "the pod not ready", func() bool {
		reply, err := h.Runtime.PodSandboxStatus(context.Background(), pod.ID, false)
		return err == nil && reply.Status.State == v1.PodSandboxState_SANDBOX_NOTREADY
	})
	_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, pid(v1.NamespaceMode_POD)))
	h.WantCode(err, codes.FailedPrecondition, "pod sandbox")
	h.RemovePod(pod.ID)
}

// An ephemeral debug container joins the pid namespace of its target.
func TestTargetPid(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod, other := h.Pod(), h.Pod()
	id := h.Run(pod, []string{"sleep", "987005"})
	script := "tr '\\0' ' ' < /proc/1/cmdline; readlink /proc/self/ns/pid; readlink /proc/self/ns/mnt"
	_, out, errText := h.Sh(pod, script, target(id))
	inside := strings.Fields(h.ExecOut(id, "readlink /proc/1/ns/pid; readlink /proc/1/ns/mnt"))
	if got := strings.Fields(strings.Replace(out, "sleep 987005", "", 1)); len(got) != 2 || got[0] != inside[0] || got[1] == inside[1] {
		t.Errorf("the debug container says %q (%s), the target is in %v", out, errText, inside)
	}
	debug := h.Sleeper(pod, target(id))
	if got := h.ExecOut(debug, "tr '\\0' ' ' < /proc/1/cmdline"); got != "sleep 987005" {
		t.Errorf("in an exec pid 1 is %q", got)
	}
	stragglers(t, h, pod, target(id))
	if host.IsPeer() {
		return
	}
	create := func(pod *host.Pod, id string) error {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, target(id)))
		return err
	}
	h.WantCode(create(pod, ""), codes.InvalidArgument, "target_id")
	h.WantCode(create(pod, strings.Repeat("ab", 32)), codes.InvalidArgument, "target_id")
	h.WantCode(create(other, id), codes.InvalidArgument, "target_id", "another pod")
	late := h.Create(pod, h.ContainerConfig([]string{"true"}, target(id)))
	h.StopContainer(id, 0)
	h.WantCode(create(pod, id), codes.FailedPrecondition, "not running")
	h.WantCode(h.TryStart(late), codes.FailedPrecondition, "not running")
	if s := h.WaitExit(debug); s.ExitCode != 137 { // its pid namespace ended
		t.Errorf("exit code %d", s.ExitCode)
	}
}

// Values that cannot have their effect are refused, each by its name.
func TestNamespaceRefusals(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	type option = *v1.NamespaceOption
	type table map[string]struct {
		edit  func(option)
		field string
	}
	for name, c := range (table{
		"network of a container": {func(o option) { o.Network = v1.NamespaceMode_CONTAINER }, "namespace_options.network"},
		"network of a target":    {func(o option) { o.Network = v1.NamespaceMode_TARGET }, "namespace_options.network"},
		"ipc of a container":     {func(o option) { o.Ipc = v1.NamespaceMode_CONTAINER }, "namespace_options.ipc"},
		"ipc of a target":        {func(o option) { o.Ipc = v1.NamespaceMode_TARGET }, "namespace_options.ipc"},
		"pid of a target":        {func(o option) { o.Pid = v1.NamespaceMode_TARGET }, "namespace_options.pid"},
		"unknown mode":           {func(o option) { o.Pid = 7 }, "namespace_options.pid"},
	}) {
		_, err := h.TryPod(h.PodConfig(func(p *v1.PodSandboxConfig) { c.edit(p.Linux.SecurityContext.NamespaceOptions) }))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		h.WantCode(err, codes.InvalidArgument, c.field)
	}
	pod := h.Pod()
	for name, c := range (table{
		"the node's network":      {func(o option) { o.Network = v1.NamespaceMode_NODE }, "namespace_options.network"},
		"the node's ipc":          {func(o option) { o.Ipc = v1.NamespaceMode_NODE }, "namespace_options.ipc"},
		"own network":             {func(o option) { o.Network = v1.NamespaceMode_CONTAINER }, "namespace_options.network"},
		"target's ipc":            {func(o option) { o.Ipc = v1.NamespaceMode_TARGET }, "namespace_options.ipc"},
		"shared pid that is none": {func(o option) { o.Pid = v1.NamespaceMode_POD }, "namespace_options.pid"},
		"target without id":       {func(o option) { o.Pid = v1.NamespaceMode_TARGET }, "target_id"},
		"unknown mode":            {func(o option) { o.Pid = 7 }, "namespace_options.pid"},
	}) {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, func(p *v1.ContainerConfig) { c.edit(p.Linux.SecurityContext.NamespaceOptions) }))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		h.WantCode(err, codes.InvalidArgument, c.field)
	}
}

// The score is the container's alone: a launch that wrote it while it shares the keeper's memory would set the keeper's too.
func TestOomScoreAdjIsNotTheKeepers(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	keeper := func() string {
		pids := h.KeeperPids()
		if len(pids) != 1 {
			t.Fatalf("keepers: %v", pids)
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pids[0]))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	before := keeper()
	for _, mode := range []v1.NamespaceMode{v1.NamespaceMode_CONTAINER, v1.NamespaceMode_POD, v1.NamespaceMode_NODE} {
		pod := h.Pod(podPid(mode))
		id := h.Sleeper(pod, pid(mode), func(c *v1.ContainerConfig) { c.Linux.Resources.OomScoreAdj = 777 })
		if got := h.ExecOut(id, "cat /proc/self/oom_score_adj"); got != "777" {
			t.Errorf("%v: an exec has %s", mode, got)
		}
		if _, out, _ := h.Sh(pod, "cat /proc/self/oom_score_adj", pid(mode), func(c *v1.ContainerConfig) { c.Linux.Resources.OomScoreAdj = 778 }); out != "778" {
			t.Errorf("%v: the container has %s", mode, out)
		}
		if after := keeper(); after != before {
			t.Errorf("%v: the keeper's score was %s, is %s", mode, before, after)
		}
	}
}
