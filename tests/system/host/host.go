// Package host starts a runtime in the node and drives it through the kubelet's own client library.
package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	internalapi "k8s.io/cri-api/pkg/apis"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
	cri "k8s.io/cri-client/pkg"

	"crisp.test/tests/system/leak"
	"crisp.test/tests/system/node"
)

// Builtin is the image that crispd carries with it.
const Builtin = "crisp.local/busybox:latest"

// Options say how the runtime is started. The zero value is crispd with no configuration file.
type Options struct {
	Config    string   // text of a configuration file; "" = none
	Env       []string // added to the daemon's environment
	Folder    string   // name of this runtime's own folder below the test's; "" = "crisp"
	NoLeak    bool     // the test leaves something on purpose and checks by itself
	SkipReady bool     // do not wait for the socket
}

// Host is one runtime with its folders, and what the test has made in it.
type Host struct {
	testing.TB
	Runtime internalapi.RuntimeService      // the kubelet's client
	Images  internalapi.ImageManagerService // the kubelet's client
	Raw     v1.RuntimeServiceClient         // plain gRPC, for what the kubelet's client checks or hides
	RawImg  v1.ImageServiceClient
	Image   string

	Folder, Root, State, Socket, LogFile string
	Pods                                 string // log_directory of all pods

	options Options
	daemon  *process
	conn    *grpc.ClientConn

	mu     sync.Mutex
	ids    []string
	count  int
	before leak.Picture
}

// Start brings a runtime up for the test, and at the test's end removes all pods, checks that nothing is left and ends it.
func Start(t testing.TB, options Options) *Host {
	t.Helper()
	name := options.Folder
	if name == "" {
		name = "crisp"
	}
	folder := filepath.Join(node.Dir(), strings.ReplaceAll(t.Name(), "/", "_"), name)
	h := &Host{
		TB: t, options: options, Folder: folder, Image: Builtin,
		Root: folder + "/root", State: folder + "/state", Socket: folder + "/crisp.sock",
		LogFile: folder + "/daemon.log", Pods: folder + "/pods",
	}
	must(t, os.MkdirAll(h.Pods, 0o711))
	for dir := folder; dir != node.Dir(); dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o711))
	}
	t.Cleanup(h.finish)
	h.StartDaemon()
	if options.SkipReady {
		return h
	}
	h.connect()
	if peer() != "" {
		h.Image = h.loadPeerImages()
	}
	if !options.NoLeak {
		h.before = h.settled()
	}
	return h
}

// StartDaemon starts (again) the daemon and waits until its socket answers.
func (h *Host) StartDaemon() {
	h.Helper()
	h.daemon = startProcess(h)
	if !h.options.SkipReady {
		h.WaitReady(5 * time.Minute) // an emulated or stopped machine; one that ends is seen at once
	}
}

// WaitReady waits until the socket answers Version.
func (h *Host) WaitReady(limit time.Duration) {
	h.Helper()
	deadline := time.Now().Add(limit)
	for {
		if err := h.Ping(); err == nil {
			return
		} else if time.Now().After(deadline) {
			h.Fatalf("the runtime's socket does not answer: %v", err)
		}
		if code, ended := h.daemon.ended(); ended {
			h.Fatalf("the daemon ended with %d before its socket answered", code)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Ping asks Version on a connection of its own.
func (h *Host) Ping() error {
	conn, err := grpc.NewClient("unix://"+h.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err = v1.NewRuntimeServiceClient(conn).Version(ctx, &v1.VersionRequest{})
	return err
}

func (h *Host) connect() {
	h.Helper()
	ctx := context.Background()
	endpoint := "unix://" + h.Socket
	var err error
	h.Runtime, err = cri.NewRemoteRuntimeService(ctx, endpoint, 2*time.Minute, nil, false)
	must(h, err)
	h.Images, err = cri.NewRemoteImageService(ctx, endpoint, 15*time.Minute, nil, false)
	must(h, err)
	h.conn, err = grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.WaitForReady(true)),
		grpc.WithUnaryInterceptor(withDeadline))
	must(h, err)
	h.Raw, h.RawImg = v1.NewRuntimeServiceClient(h.conn), v1.NewImageServiceClient(h.conn)
}

// withDeadline gives every call that has none the kubelet's two minutes: no test waits for ever.
func withDeadline(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
	}
	return call(ctx, method, request, reply, conn, options...)
}

// KillDaemon ends it with -9 and waits until it is gone.
func (h *Host) KillDaemon() { h.daemon.kill(9) }

// Terminate sends SIGTERM and returns the exit code.
func (h *Host) Terminate(limit time.Duration) int {
	h.Helper()
	code, ok := h.daemon.terminate(limit)
	if !ok {
		h.Fatalf("the daemon did not end within %s of SIGTERM", limit)
	}
	return code
}

// WaitDaemonEnd waits for a daemon that ends by itself and returns its exit code.
func (h *Host) WaitDaemonEnd() int {
	h.Helper()
	select {
	case <-h.daemon.done:
		return h.daemon.cmd.ProcessState.ExitCode()
	case <-time.After(60 * time.Second):
		h.Fatal("the daemon did not end")
		return 0
	}
}

// DaemonPid is the daemon's process id inside the node.
func (h *Host) DaemonPid() int { return h.daemon.pid() }

// finish is the end of every test: no pod, no trace, no process.
func (h *Host) finish() {
	if h.conn != nil && h.Ping() == nil {
		h.RemoveAllPods()
		if h.before != nil && !h.Failed() {
			h.CheckNoLeaks()
		}
	}
	if h.conn != nil {
		h.conn.Close()
		h.Runtime.Close(context.Background())
		h.Images.Close(context.Background())
	}
	keepers := h.KeeperPids()
	h.daemon.terminate(20 * time.Second)
	for _, pid := range keepers {
		killAndWait(pid)
	}
	if report := h.daemon.sanitizerReport(); report != "" {
		h.Errorf("sanitizer report in the daemon's log:\n%s", report)
	}
	if h.Failed() {
		h.Logf("daemon log, %s:\n%s", h.LogFile, tail(h.LogFile, 60))
	} else if os.Getenv("CRISP_KEEP") == "" {
		os.RemoveAll(h.Folder)
	}
}

// RemoveAllPods force-removes what the test left running.
func (h *Host) RemoveAllPods() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	list, err := h.Raw.ListPodSandbox(ctx, &v1.ListPodSandboxRequest{})
	if err != nil {
		h.Errorf("ListPodSandbox at the end: %v", err)
		return
	}
	for _, pod := range list.Items {
		if _, err := h.Raw.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: pod.Id}); err != nil {
			h.Errorf("RemovePodSandbox at the end: %v", err)
		}
	}
}

func (h *Host) scope() leak.Scope {
	h.mu.Lock()
	defer h.mu.Unlock()
	root, depth := node.Name(), 2
	if node.OnHost() {
		root, depth = topSlice(), 1
	}
	return leak.Scope{
		CgroupRoots: []string{root}, CgroupDepth: depth, Folders: []string{h.Root, h.State, h.Folder + "/run"},
		Ids: append([]string(nil), h.ids...), Pids: append([]int{h.DaemonPid()}, h.KeeperPids()...),
	}
}

// waitPool waits until the pool of networks, which fills in the background, is full. A network that cannot fill it costs ten seconds.
func (h *Host) waitPool() {
	for deadline := time.Now().Add(10 * time.Second); !IsPeer() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		status, err := h.Raw.Status(context.Background(), &v1.StatusRequest{Verbose: true})
		if pool := status.GetInfo()["networkPool"]; err != nil || pool == "" || pool == `{"missing":0}` {
			return
		}
	}
}

// settled takes a picture once two in a row are equal.
func (h *Host) settled() leak.Picture {
	h.waitPool()
	last := leak.Take(h.scope())
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		time.Sleep(150 * time.Millisecond)
		now := leak.Take(h.scope())
		if len(leak.More(last, now, 0)) == 0 && len(leak.More(now, last, 0)) == 0 {
			return now
		}
		last = now
	}
	return last
}

// CheckNoLeaks compares with the picture taken at the start; slow clean-up may take a few seconds.
func (h *Host) CheckNoLeaks() {
	h.Helper()
	var more []string
	for deadline := time.Now().Add(15 * time.Second); ; {
		more = leak.More(h.before, leak.Take(h.scope()), 4)
		if len(more) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	h.Errorf("left behind:\n  %s", strings.Join(more, "\n  "))
}

// Remember notes an id whose traces must be gone at the end.
func (h *Host) Remember(id string) {
	h.mu.Lock()
	h.ids = append(h.ids, id)
	h.mu.Unlock()
}

// Unique gives a name no other pod of this test has.
func (h *Host) Unique(prefix string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	return fmt.Sprintf("%s-%d", prefix, h.count)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
