package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// target is one CRI socket.
type target struct {
	endpoint, image, processes, pids string

	version, name, logs string
	runtime             v1.RuntimeServiceClient
	count               atomic.Int64
	lacks               map[string]bool // calls that it does not implement
}

const callLimit = 2 * time.Minute

func (t *target) open(name string, pull bool) error {
	conn, err := grpc.NewClient(t.endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	t.runtime, t.name, t.lacks = v1.NewRuntimeServiceClient(conn), name, map[string]bool{}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	version, err := t.runtime.Version(ctx, &v1.VersionRequest{})
	if err != nil {
		return err
	}
	t.version = version.RuntimeName + " " + version.RuntimeVersion
	if pull {
		_, err := v1.NewImageServiceClient(conn).PullImage(ctx, &v1.PullImageRequest{Image: &v1.ImageSpec{Image: t.image}})
		if err != nil {
			return err
		}
	}
	t.logs, err = os.MkdirTemp("", "crisp-bench-")
	return err
}

// pod is what a cycle has made so far.
type pod struct {
	config        *v1.PodSandboxConfig
	id, container string
}

// cycle is one pod's whole life, each call timed.
func (t *target) cycle(into times) error {
	begin := time.Now()
	p, err := t.start(into)
	if err != nil {
		return err
	}
	steps := []struct {
		name string
		call func(context.Context) error
	}{
		{"ExecSync", func(ctx context.Context) error {
			reply, err := t.runtime.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: p.container, Cmd: []string{"/bin/true"}, Timeout: 30})
			if err == nil && reply.ExitCode != 0 {
				return fmt.Errorf("exit code %d", reply.ExitCode)
			}
			return err
		}},
		{"StopContainer", func(ctx context.Context) error {
			_, err := t.runtime.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: p.container, Timeout: 0})
			return err
		}},
		{"RemoveContainer", func(ctx context.Context) error {
			_, err := t.runtime.RemoveContainer(ctx, &v1.RemoveContainerRequest{ContainerId: p.container})
			return err
		}},
	}
	for _, step := range steps {
		if err := timed(into, step.name, step.call); err != nil {
			return err
		}
	}
	if err := t.end(p, into); err != nil {
		return err
	}
	into["full cycle"] = append(into["full cycle"], time.Since(begin))
	return nil
}

// start brings up a pod with one container.
func (t *target) start(into times) (*pod, error) {
	p := &pod{config: t.podConfig()}
	if err := os.MkdirAll(p.config.LogDirectory+"/main", 0o755); err != nil {
		return nil, err
	}
	begin := time.Now()
	err := timed(into, "RunPodSandbox", func(ctx context.Context) error {
		reply, err := t.runtime.RunPodSandbox(ctx, &v1.RunPodSandboxRequest{Config: p.config})
		p.id = reply.GetPodSandboxId()
		return err
	})
	if err != nil {
		return nil, err
	}
	err = timed(into, "CreateContainer", func(ctx context.Context) error {
		reply, err := t.runtime.CreateContainer(ctx, &v1.CreateContainerRequest{
			PodSandboxId: p.id, Config: t.containerConfig(), SandboxConfig: p.config})
		p.container = reply.GetContainerId()
		return err
	})
	if err != nil {
		return nil, err
	}
	err = timed(into, "StartContainer", func(ctx context.Context) error {
		_, err := t.runtime.StartContainer(ctx, &v1.StartContainerRequest{ContainerId: p.container})
		return err
	})
	into["pod start"] = append(into["pod start"], time.Since(begin))
	return p, err
}

// end stops and removes a pod.
func (t *target) end(p *pod, into times) error {
	err := timed(into, "StopPodSandbox", func(ctx context.Context) error {
		_, err := t.runtime.StopPodSandbox(ctx, &v1.StopPodSandboxRequest{PodSandboxId: p.id})
		return err
	})
	if err != nil {
		return err
	}
	defer os.RemoveAll(p.config.LogDirectory)
	return timed(into, "RemovePodSandbox", func(ctx context.Context) error {
		_, err := t.runtime.RemovePodSandbox(ctx, &v1.RemovePodSandboxRequest{PodSandboxId: p.id})
		return err
	})
}

func timed(into times, name string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	begin := time.Now()
	if err := call(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	into[name] = append(into[name], time.Since(begin))
	return nil
}

// cgroupParent stands for the pods' slice, which is the client's: below the private node's own name, or removed at the end.
func (t *target) cgroupParent() string {
	if name := os.Getenv("CRISP_NODE_NAME"); name != "" {
		return "/" + name + "/" + t.name
	}
	return "/crisp-bench-" + t.name
}

// close removes what is the client's: the log folder and the pods' parent cgroup.
func (t *target) close() {
	os.RemoveAll(t.logs)
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*" + t.cgroupParent())
	for _, dir := range append(dirs, "/sys/fs/cgroup"+t.cgroupParent()) {
		syscall.Rmdir(dir)
	}
}

// podConfig and containerConfig are what the kubelet sends for a pod with limits.
func (t *target) podConfig() *v1.PodSandboxConfig {
	name := fmt.Sprintf("%s-%d-%d", t.name, os.Getpid(), t.count.Add(1))
	return &v1.PodSandboxConfig{
		Metadata:     &v1.PodSandboxMetadata{Name: name, Uid: "uid-" + name, Namespace: "bench"},
		Hostname:     name,
		LogDirectory: filepath.Join(t.logs, name),
		DnsConfig:    &v1.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"bench.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "bench", "io.kubernetes.pod.uid": "uid-" + name},
		Linux: &v1.LinuxPodSandboxConfig{
			CgroupParent: t.cgroupParent(),
			SecurityContext: &v1.LinuxSandboxSecurityContext{
				NamespaceOptions: &v1.NamespaceOption{Pid: v1.NamespaceMode_CONTAINER},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
			},
		},
	}
}

func (t *target) containerConfig() *v1.ContainerConfig {
	return &v1.ContainerConfig{
		Metadata: &v1.ContainerMetadata{Name: "main"},
		Image:    &v1.ImageSpec{Image: t.image},
		Command:  []string{"/bin/sleep", "100000"},
		LogPath:  "main/0.log",
		Envs:     []*v1.KeyValue{{Key: "KUBERNETES_SERVICE_HOST", Value: []byte("10.96.0.1")}},
		Linux: &v1.LinuxContainerConfig{
			Resources: &v1.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20},
			SecurityContext: &v1.LinuxContainerSecurityContext{
				NamespaceOptions: &v1.NamespaceOption{Pid: v1.NamespaceMode_CONTAINER},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
				MaskedPaths: strings.Fields("/proc/asound /proc/acpi /proc/kcore /proc/keys /proc/latency_stats " +
					"/proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware"),
				ReadonlyPaths: strings.Fields("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"),
			},
		},
	}
}

func unimplemented(err error) bool {
	var with interface{ GRPCStatus() *status.Status }
	return errors.As(err, &with) && with.GRPCStatus().Code() == codes.Unimplemented
}
