package system

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

const droppedMark = "[crisp] output is dropped: more than "

// countMarks separates the marker lines from what the container wrote.
func countMarks(lines []host.LogLine) (marks int, rest []host.LogLine) {
	for _, line := range lines {
		if strings.HasPrefix(line.Text, droppedMark) {
			marks++
		} else {
			rest = append(rest, line)
		}
	}
	return marks, rest
}

// metricValue reads one value of the daemon's own metrics.
func metricValue(h *host.Host, name string) string {
	h.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.State+"/debug.sock")
		}}}
	reply, err := client.Get("http://crisp/metrics")
	if err != nil {
		h.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		h.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}

// A log file stops at its limit with one line that says so, goes on after the rotation, and what was dropped is counted; the
// container is never held up.
func TestLogFileLimit(t *testing.T) {
	const limit = 100_000
	h := host.Start(t, host.Options{Config: fmt.Sprintf("[log]\nmax_file_bytes = %d\n", limit)})
	pod := h.Pod()
	id := h.Run(pod, []string{"/bin/sh", "-c",
		"i=0; while [ $i -lt 5000 ]; do echo line $i of the first file; i=$((i+1)); done; touch /full; while [ ! -e /go ]; do sleep 0.05; done; echo after the rotation; touch /said; sleep 1000"})
	waitFor(h, "5000 lines to be written", func() bool { _, _, code := h.Exec(id, "test", "-e", "/full"); return code == 0 })
	path := h.LogPath(id)
	waitFor(h, "the limit", func() bool { data, _ := os.ReadFile(path); return strings.Contains(string(data), droppedMark) })
	old := path + ".1"
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Raw.ReopenContainerLog(context.Background(), &v1.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	h.ExecOut(id, "touch /go")
	waitFor(h, "the line after the rotation", func() bool {
		data, _ := os.ReadFile(path)
		return strings.Contains(string(data), "after the rotation\n")
	})
	data, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := host.ParseLog(data)
	if err != nil {
		t.Fatal(err)
	}
	marks, rest := countMarks(lines)
	if len(data) < limit/2 || len(data) > limit+200 || marks != 1 {
		t.Errorf("the full file has %d bytes and %d markers", len(data), marks)
	}
	for i, line := range rest {
		if want := fmt.Sprintf("line %d of the first file", i); line.Text != want {
			t.Fatalf("line %d is %q", i, line.Text)
		}
	}
	if dropped := metricValue(h, "crisp_container_log_dropped_bytes_total"); dropped == "" || dropped == "0" {
		t.Errorf("dropped bytes are counted as %q", dropped)
	}
	if marks, rest := countMarks(h.Lines(id)); marks != 0 || len(rest) != 1 {
		t.Errorf("the new file has %d markers and %v", marks, rest)
	}
}

// Output beyond the rate is dropped, also of a container that writes without a pause, and also when the keeper dies: what is
// in the log are whole lines in their order, with markers where some are missing. A quiet container loses nothing.
func TestLogRateLimit(t *testing.T) {
	const rate = 2000
	h := host.Start(t, host.Options{Config: fmt.Sprintf("[log]\nmax_bytes_per_second = %d\n", rate)})
	pod := h.Pod()
	quiet := h.Run(pod, []string{"/bin/sh", "-c", "for i in 1 2 3 4 5; do echo quiet $i; done"})
	h.WaitExit(quiet)
	if out, _ := h.Written(quiet); out != "quiet 1\nquiet 2\nquiet 3\nquiet 4\nquiet 5" {
		t.Errorf("a container below the limit wrote %q", out)
	}
	id := h.Run(pod, []string{"/bin/sh", "-c", "i=0; while [ $i -lt 30000 ]; do echo number $i; i=$((i+1)); done"})
	h.WaitExit(id)
	marks, rest := countMarks(h.Lines(id))
	if marks == 0 || len(rest) == 0 || len(rest) == 30000 {
		t.Errorf("%d markers, %d lines", marks, len(rest))
	}
	perSecond := map[int64]int{}
	last := -1
	for _, line := range rest {
		var n int
		if _, err := fmt.Sscanf(line.Text, "number %d", &n); err != nil || n <= last || line.Tag != "F" {
			t.Fatalf("after number %d comes %q", last, line.Text)
		}
		last = n
		perSecond[line.Time.Unix()] += len(line.Text) + 1
	}
	for second, bytes := range perSecond {
		if bytes > rate {
			t.Errorf("%d bytes in second %d", bytes, second)
		}
	}
}

// Limits that make no sense are refused at the start, by name.
func TestLogLimitRefusals(t *testing.T) {
	for name, value := range map[string]string{
		"max_file_bytes": "-1", "max_bytes_per_second": "\"fast\"", "max_line_bytes": "0",
	} {
		h := host.Start(t, host.Options{Config: "[log]\n" + name + " = " + value + "\n", SkipReady: true, NoLeak: true, Folder: name})
		waitFor(h, "the daemon to end", func() bool { data, _ := os.ReadFile(h.LogFile); return strings.Contains(string(data), "log."+name) })
	}
}
