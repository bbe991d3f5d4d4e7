package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const forwardPort = 7000

// counter throws away and counts.
type counter int64

func (c *counter) Write(data []byte) (int, error) { *c += counter(len(data)); return len(data), nil }

// transfer is what one GiB or so through the streaming server took.
type transfer struct {
	bytes      int64
	wall       time.Duration
	cpuSeconds float64
}

func (t transfer) String() string {
	return fmt.Sprintf("%.0f MB/s, %.2f CPU s per GiB", float64(t.bytes)/1e6/t.wall.Seconds(), t.cpuSeconds*float64(1<<30)/float64(t.bytes))
}

// benchStreams measures exec and port-forward through client-go's SPDY, the way of kubectl; CPU is that of the runtime's own
// processes, without client and container.
func benchStreams(mib, n int, targets []*target) error {
	fmt.Printf("\nstreaming (SPDY, %d MiB; %d times exec true)\n", mib, n)
	pods := make([]*pod, len(targets))
	for i, t := range targets {
		p, err := t.start(times{})
		if err != nil {
			return err
		}
		defer t.end(p, times{})
		pods[i] = p
		if err := t.server(p, mib); err != nil {
			return err
		}
	}
	latency := make([]times, len(targets))
	for i := range targets {
		latency[i] = times{}
	}
	for range n {
		for i, t := range targets {
			begin := time.Now()
			if err := t.exec(pods[i], io.Discard, "true"); err != nil {
				return err
			}
			latency[i]["exec true"] = append(latency[i]["exec true"], time.Since(begin))
		}
	}
	for i, t := range targets {
		out, err := t.measure(func(into *counter) error {
			return t.exec(pods[i], into, "head", "-c", strconv.Itoa(mib<<20), "/dev/zero")
		})
		if err != nil {
			return err
		}
		forward, err := t.measure(func(into *counter) error { return t.forward(pods[i], into) })
		if err != nil {
			return err
		}
		fmt.Printf("%s: exec true %.2f / %.2f ms (median / p95); exec stdout %s; port-forward %s\n", letter(i),
			latency[i].at("exec true", 0.5), latency[i].at("exec true", 0.95), out, forward)
	}
	return nil
}

func (t *target) measure(run func(*counter) error) (transfer, error) {
	var bytes counter
	before, begin := t.cpu(), time.Now()
	if err := run(&bytes); err != nil {
		return transfer{}, err
	}
	return transfer{int64(bytes), time.Since(begin), t.cpu() - before}, nil
}

// cpu is user and system time of the runtime's processes in seconds.
func (t *target) cpu() float64 {
	var ticks int64
	for _, path := range t.statFiles() {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		for _, at := range []int{11, 12} { // utime, stime
			if len(fields) > at {
				n, _ := strconv.ParseInt(fields[at], 10, 64)
				ticks += n
			}
		}
	}
	return float64(ticks) / 100
}

func (t *target) statFiles() []string {
	var files []string
	for _, pid := range strings.Split(t.pids, ",") {
		if pid != "" {
			files = append(files, "/proc/"+pid+"/stat")
		}
	}
	if len(files) > 0 {
		return files
	}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range all {
		name, _ := os.ReadFile(filepath.Dir(path) + "/comm")
		for _, wanted := range strings.Split(t.processes, ",") {
			// comm is cut at 15 characters: containerd-shim-runc-v2
			if strings.HasPrefix(strings.TrimSpace(string(name)), wanted[:min(len(wanted), 15)]) {
				files = append(files, path)
				break
			}
		}
	}
	return files
}

func (t *target) exec(p *pod, out io.Writer, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	reply, err := t.runtime.Exec(ctx, &v1.ExecRequest{ContainerId: p.container, Cmd: command, Stdout: true})
	if err != nil {
		return err
	}
	target, err := url.Parse(reply.Url)
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, target)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out})
}

// server answers each connection to the pod's port with that many bytes.
func (t *target) server(p *pod, mib int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	_, err := t.runtime.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: p.container, Timeout: 30, Cmd: []string{"sh", "-c", fmt.Sprintf(
		"nc -ll -p %d -e head -c %d /dev/zero >/dev/null 2>&1 & until grep -qi ':%04X .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.01; done",
		forwardPort, mib<<20, forwardPort)}})
	return err
}

func (t *target) forward(p *pod, into io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	reply, err := t.runtime.PortForward(ctx, &v1.PortForwardRequest{PodSandboxId: p.id, Port: []int32{forwardPort}})
	if err != nil {
		return err
	}
	target, err := url.Parse(reply.Url)
	if err != nil {
		return err
	}
	round, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		return err
	}
	conn, _, err := spdy.NewDialer(upgrader, &http.Client{Transport: round}, http.MethodPost, target).Dial("portforward.k8s.io")
	if err != nil {
		return err
	}
	defer conn.Close()
	header := http.Header{}
	header.Set("port", strconv.Itoa(forwardPort))
	header.Set("requestid", "0")
	header.Set("streamtype", "error")
	failed, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	failed.Close()
	header.Set("streamtype", "data")
	data, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, data)
	return err
}
