package streaming

import (
	"testing"

	"crisp.test/tests/system/host"
)

// Three programs that a hang-up meets: one that heeds it, one that does not, one with a child.
var hangUpScripts = []string{
	"trap 'touch /tmp/hup; exit 0' HUP; echo ready; while :; do sleep 0.05; done",
	"trap '' HUP; echo ready; while :; do sleep 0.05; done",
	"echo ready; sleep 12345; true",
}

// on_disconnect = "kill": a vanished client's program gets no word first.
func TestStreamExecKilled(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\non_disconnect = \"kill\"\nhangup_grace_ms = 60000\n"})
	id := h.Sleeper(h.Pod())
	before := restingProcesses(h, id)
	for _, script := range hangUpScripts {
		s := shell(h, "spdy", id, script, streams{stderr: true})
		s.out.wait(t, "ready")
		s.cancel()
		<-s.done
		wantProcesses(h, id, before)
	}
	if out := h.ExecOut(id, "ls /tmp"); out != "" {
		t.Errorf("the program was told before it was killed: %q", out)
	}
}

// An orderly end of the daemon does to each exec what its client's end would; the container goes on.
func TestStreamExecDaemonStops(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{Config: "[streaming]\nhangup_grace_ms = 100\n"})
	id := h.Sleeper(h.Pod())
	before := restingProcesses(h, id)
	var sessions []*session
	for _, script := range hangUpScripts {
		s := shell(h, "spdy", id, script, streams{stderr: true})
		s.out.wait(t, "ready")
		sessions = append(sessions, s)
	}
	if code := h.Terminate(host.Limit); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	for _, s := range sessions {
		s.result()
	}
	h.StartDaemon()
	wantProcesses(h, id, before)
	h.ExecOut(id, "ls /tmp/hup")
}

// restingProcesses counts the processes of a container, once its own have started, and the shell that counts.
func restingProcesses(h *host.Host, id string) string {
	h.Helper()
	return h.ExecOut(id, "while set -- /proc/[0-9]*; [ $# -lt 3 ]; do :; done; echo $#")
}

// wantProcesses waits until there are no more than before.
func wantProcesses(h *host.Host, id, before string) {
	h.Helper()
	if out := h.ExecOut(id, "i=0; while set -- /proc/[0-9]*; [ $# -gt "+before+" -a $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; echo $#"); out != before {
		h.Errorf("%s processes in the container, %s before", out, before)
	}
}
