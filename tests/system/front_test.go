package system

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Version, Status and RuntimeConfig as the kubelet checks them at its start.
func TestRuntimeInfo(t *testing.T) {
	h := host.Start(t, host.Options{})
	ctx := context.Background()
	version, err := h.Runtime.Version(ctx, "v1")
	if err != nil || version.Version == "" || version.RuntimeName == "" || version.RuntimeVersion == "" || version.RuntimeApiVersion != "v1" {
		t.Errorf("version %v, %v", version, err)
	}
	reply, err := h.Runtime.Status(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	ready := map[string]bool{}
	for _, c := range reply.Status.Conditions {
		ready[c.Type] = c.Status
	}
	if !ready["RuntimeReady"] || !ready["NetworkReady"] {
		t.Errorf("conditions %v", reply.Status.Conditions)
	}
	if !strings.Contains(reply.Info["config"], "sandboxImage") {
		t.Errorf("verbose info %v", reply.Info)
	}
	if host.IsPeer() {
		return
	}
	config, err := h.Runtime.RuntimeConfig(ctx)
	if err != nil || config.Linux.CgroupDriver != v1.CgroupDriver_CGROUPFS {
		t.Errorf("runtime config %v, %v", config, err)
	}
}

// All 43 RPCs are registered: those of later issues say Unimplemented by themselves, and the method is known.
func TestEveryRPC(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	conn, err := grpc.NewClient("unix://"+h.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	count := 0
	for _, service := range []grpc.ServiceDesc{v1.RuntimeService_ServiceDesc, v1.ImageService_ServiceDesc} {
		methods := []string{}
		for _, m := range service.Methods {
			methods = append(methods, m.MethodName)
		}
		for _, s := range service.Streams {
			methods = append(methods, s.StreamName)
		}
		for _, method := range methods {
			count++
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+service.ServiceName+"/"+method)
			if err == nil {
				stream.SendMsg(&v1.VersionRequest{})
				stream.CloseSend()
				err = stream.RecvMsg(&v1.VersionResponse{})
			}
			cancel()
			// gRPC itself says Unimplemented with an empty text for a method that is not registered.
			if s := status.Convert(err); s.Code() == codes.Unimplemented && s.Message() == "" {
				t.Errorf("%s is not registered", method)
			}
		}
	}
	if count != 43 {
		t.Errorf("%d RPCs in the API, expected 43", count)
	}
}

// A client that pings often is not sent away, and a message of several MiB passes.
func TestConnection(t *testing.T) {
	h := host.Start(t, host.Options{})
	conn, err := grpc.NewClient("unix://"+h.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := v1.NewRuntimeServiceClient(conn)
	if _, err := client.Version(context.Background(), &v1.VersionRequest{}); err != nil {
		t.Error(err)
	}
	big := &v1.ListPodSandboxRequest{Filter: &v1.PodSandboxFilter{LabelSelector: map[string]string{"a": strings.Repeat("x", 10<<20)}}}
	if _, err := client.ListPodSandbox(context.Background(), big); err != nil && status.Code(err) != codes.InvalidArgument {
		t.Errorf("a message of 10 MiB: %v", err)
	}
	info, err := os.Stat(h.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket mode %v, %v", info.Mode(), err)
	}
}

// The debug socket: health, metrics with the steps of calls, pods.
func TestDebugSocket(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	h.Sleeper(pod)
	socket := h.State + "/debug.sock"
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("debug socket: %v, %v", info, err)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return net.Dial("unix", socket) }}}
	defer client.CloseIdleConnections()
	get := func(page string) string {
		reply, err := client.Get("http://debug" + page)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		body, _ := io.ReadAll(reply.Body)
		if reply.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", page, reply.Status)
		}
		return string(body)
	}
	for page, want := range map[string]string{"/healthz": "ok", "/metrics": "crisp_step_duration_seconds", "/pods": pod.ID, "/pulls": "["} {
		if body := get(page); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q: %.300s", page, want, body)
		}
	}
}

// Several crisps live side by side, each with folders of its own, and see only their own pods.
func TestSideBySide(t *testing.T) {
	if host.IsPeer() {
		t.Skip()
	}
	network := func(bridge, subnet string) string {
		return "[network]\nbridge = \"" + bridge + "\"\nsubnet = \"" + subnet + "\"\n"
	}
	a := host.Start(t, host.Options{Folder: "a", Config: network("cnia", "10.71.0.0/16"), NoLeak: true})
	b := host.Start(t, host.Options{Folder: "b", Config: network("cnib", "10.72.0.0/16"), NoLeak: true})
	podA, podB := a.Pod(), b.Pod()
	inA, inB := a.Sleeper(podA), b.Sleeper(podB)
	if list, _ := a.Runtime.ListPodSandbox(context.Background(), nil); len(list) != 1 || list[0].Id != podA.ID {
		t.Errorf("the first sees %v", list)
	}
	a.KillDaemon()
	b.KillKeeper()
	a.StartDaemon()
	a.ExecOut(inA, "true")
	waitFor(b, "the second's new keeper", func() bool { return len(b.KeeperPids()) == 1 })
	waitFor(b, "an exec through it", func() bool {
		reply, err := b.Raw.ExecSync(short(), &v1.ExecSyncRequest{ContainerId: inB, Cmd: []string{"true"}})
		return err == nil && reply.ExitCode == 0
	})
}
