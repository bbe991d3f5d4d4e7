package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/node"
)

// Limit bounds every wait for a container.
const Limit = 60 * time.Second

// Pod is a sandbox that runs.
type Pod struct {
	ID     string
	Config *v1.PodSandboxConfig
}

// Sandbox edits a pod's request, Container a container's.
type (
	Sandbox   func(*v1.PodSandboxConfig)
	Container func(*v1.ContainerConfig)
)

// PodConfig is what the kubelet sends for a plain pod.
func (h *Host) PodConfig(edits ...Sandbox) *v1.PodSandboxConfig {
	name := h.Unique("pod")
	config := &v1.PodSandboxConfig{
		Metadata:     &v1.PodSandboxMetadata{Name: name, Uid: "uid-" + name, Namespace: "default", Attempt: 0},
		Hostname:     name,
		LogDirectory: filepath.Join(h.Pods, name),
		DnsConfig:    &v1.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": "uid-" + name},
		Annotations:  map[string]string{"kubernetes.io/config.source": "api"},
		Linux: &v1.LinuxPodSandboxConfig{
			CgroupParent: h.podCgroup(name),
			SecurityContext: &v1.LinuxSandboxSecurityContext{
				NamespaceOptions: &v1.NamespaceOption{Network: v1.NamespaceMode_POD, Ipc: v1.NamespaceMode_POD, Pid: v1.NamespaceMode_CONTAINER},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, edit := range edits {
		edit(config)
	}
	return config
}

// podCgroup is where the kubelet would have its pod: below the node's folder, or the slice that the kubelet computes where
// the cgroup driver is systemd.
func (h *Host) podCgroup(name string) string {
	folder := filepath.Base(h.Folder)
	if !node.OnHost() {
		return "/" + node.Name() + "/" + folder + "/" + name
	}
	level := func(text string) string { return strings.ReplaceAll(text, "-", "_") }
	return "/" + topSlice() + "/" + strings.TrimSuffix(topSlice(), ".slice") + "-" + level(folder) + "_" + level(name) + ".slice"
}

// topSlice holds all slices of the node's pods.
func topSlice() string { return strings.ReplaceAll(node.Name(), "-", "_") + ".slice" }

// Pod runs a sandbox or ends the test.
func (h *Host) Pod(edits ...Sandbox) *Pod {
	h.Helper()
	pod, err := h.TryPod(h.PodConfig(edits...))
	if err != nil {
		h.Fatalf("RunPodSandbox: %v", err)
	}
	return pod
}

// TryPod runs a sandbox. As the kubelet does, it makes the log directory and the pod's cgroup first.
func (h *Host) TryPod(config *v1.PodSandboxConfig) (*Pod, error) {
	if config.LogDirectory != "" {
		os.MkdirAll(config.LogDirectory, 0o755)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	reply, err := h.Raw.RunPodSandbox(ctx, &v1.RunPodSandboxRequest{Config: config})
	if err != nil {
		return nil, err
	}
	h.Remember(reply.PodSandboxId)
	return &Pod{ID: reply.PodSandboxId, Config: config}, nil
}

// HostNetwork and friends are common edits.
func HostNetwork(c *v1.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.Network = v1.NamespaceMode_NODE
	c.Hostname = ""
}

// ContainerConfig is what the kubelet sends for a plain container.
func (h *Host) ContainerConfig(command []string, edits ...Container) *v1.ContainerConfig {
	name := h.Unique("c")
	config := &v1.ContainerConfig{
		Metadata: &v1.ContainerMetadata{Name: name, Attempt: 0},
		Image:    &v1.ImageSpec{Image: h.Image},
		Command:  command,
		LogPath:  name + "/0.log",
		Labels:   map[string]string{"io.kubernetes.container.name": name},
		Linux: &v1.LinuxContainerConfig{
			Resources: &v1.LinuxContainerResources{},
			SecurityContext: &v1.LinuxContainerSecurityContext{
				NamespaceOptions: &v1.NamespaceOption{Network: v1.NamespaceMode_POD, Ipc: v1.NamespaceMode_POD, Pid: v1.NamespaceMode_CONTAINER},
				Seccomp:          &v1.SecurityProfile{ProfileType: v1.SecurityProfile_RuntimeDefault},
				MaskedPaths: []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
					"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
				ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			},
		},
	}
	for _, edit := range edits {
		edit(config)
	}
	return config
}

// Create makes a container or ends the test.
func (h *Host) Create(pod *Pod, config *v1.ContainerConfig) string {
	h.Helper()
	id, err := h.TryCreate(pod, config)
	if err != nil {
		h.Fatalf("CreateContainer: %v", err)
	}
	return id
}

// TryCreate makes a container; the kubelet makes the folder of its log first.
func (h *Host) TryCreate(pod *Pod, config *v1.ContainerConfig) (string, error) {
	if config.LogPath != "" && !strings.Contains(config.LogPath, "..") {
		os.MkdirAll(filepath.Dir(filepath.Join(pod.Config.LogDirectory, config.LogPath)), 0o755)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	reply, err := h.Raw.CreateContainer(ctx, &v1.CreateContainerRequest{
		PodSandboxId: pod.ID, Config: config, SandboxConfig: pod.Config})
	if err != nil {
		return "", err
	}
	h.Remember(reply.ContainerId)
	return reply.ContainerId, nil
}

// StartContainer starts it or ends the test.
func (h *Host) StartContainer(id string) {
	h.Helper()
	if err := h.TryStart(id); err != nil {
		h.Fatalf("StartContainer: %v", err)
	}
}

// TryStart starts a container.
func (h *Host) TryStart(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, err := h.Raw.StartContainer(ctx, &v1.StartContainerRequest{ContainerId: id})
	return err
}

// Run creates and starts a container.
func (h *Host) Run(pod *Pod, command []string, edits ...Container) string {
	h.Helper()
	id := h.Create(pod, h.ContainerConfig(command, edits...))
	h.StartContainer(id)
	return id
}

// Sh runs a shell script as a container, waits for its end and returns its status and its output by stream.
func (h *Host) Sh(pod *Pod, script string, edits ...Container) (*v1.ContainerStatus, string, string) {
	h.Helper()
	id := h.Run(pod, []string{"/bin/sh", "-c", script}, edits...)
	state := h.WaitExit(id)
	stdout, stderr := h.Written(id)
	return state, stdout, stderr
}

// Sleeper runs a container that stays until it is stopped, and heeds SIGTERM.
func (h *Host) Sleeper(pod *Pod, edits ...Container) string {
	h.Helper()
	return h.Run(pod, []string{"/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"}, edits...)
}

// Status is ContainerStatus or the end of the test.
func (h *Host) Status(id string) *v1.ContainerStatus {
	h.Helper()
	reply, err := h.Runtime.ContainerStatus(context.Background(), id, false)
	if err != nil {
		h.Fatalf("ContainerStatus: %v", err)
	}
	return reply.Status
}

// WaitExit polls as the kubelet does, until the container has exited.
func (h *Host) WaitExit(id string) *v1.ContainerStatus {
	h.Helper()
	for deadline := time.Now().Add(Limit); ; {
		state := h.Status(id)
		if state.State == v1.ContainerState_CONTAINER_EXITED {
			return state
		}
		if time.Now().After(deadline) {
			h.Fatalf("container %s has not exited after %s: %v", id, Limit, state.State)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Exec is ExecSync with the exit code taken out of the client's error.
func (h *Host) Exec(id string, command ...string) (stdout, stderr string, code int) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Limit)
	defer cancel()
	reply, err := h.Raw.ExecSync(ctx, &v1.ExecSyncRequest{ContainerId: id, Cmd: command, Timeout: 30})
	if err != nil {
		h.Fatalf("ExecSync %q: %v", command, err)
	}
	return string(reply.Stdout), string(reply.Stderr), int(reply.ExitCode)
}

// ExecOut is the output of a shell script in a running container; it must succeed.
func (h *Host) ExecOut(id, script string) string {
	h.Helper()
	stdout, stderr, code := h.Exec(id, "/bin/sh", "-c", script)
	if code != 0 {
		h.Fatalf("exec %q: exit %d, stderr %q", script, code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// StopContainer, RemoveContainer, StopPod and RemovePod end the test on an error.
func (h *Host) StopContainer(id string, grace int64) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := h.Raw.StopContainer(ctx, &v1.StopContainerRequest{ContainerId: id, Timeout: grace}); err != nil {
		h.Fatalf("StopContainer: %v", err)
	}
}

func (h *Host) RemoveContainer(id string) {
	h.Helper()
	if err := h.Runtime.RemoveContainer(context.Background(), id); err != nil {
		h.Fatalf("RemoveContainer: %v", err)
	}
}

func (h *Host) StopPod(id string) {
	h.Helper()
	if err := h.Runtime.StopPodSandbox(context.Background(), id); err != nil {
		h.Fatalf("StopPodSandbox: %v", err)
	}
}

func (h *Host) RemovePod(id string) {
	h.Helper()
	if err := h.Runtime.RemovePodSandbox(context.Background(), id); err != nil {
		h.Fatalf("RemovePodSandbox: %v", err)
	}
}

// PodIP is the address that PodSandboxStatus names.
func (h *Host) PodIP(pod *Pod) string {
	h.Helper()
	reply, err := h.Runtime.PodSandboxStatus(context.Background(), pod.ID, false)
	if err != nil {
		h.Fatalf("PodSandboxStatus: %v", err)
	}
	return reply.Status.GetNetwork().GetIp()
}

// LogLine is one line of the CRI log format.
type LogLine struct {
	Time         time.Time
	Stream, Tag  string
	Text         string
	PartialStart bool
}

var logFormat = regexp.MustCompile(`^(\S+) (stdout|stderr) ([FP]) (.*)$`)

// ParseLog reads the CRI log format; any other line is an error.
func ParseLog(data []byte) ([]LogLine, error) {
	var lines []LogLine
	for _, text := range strings.SplitAfter(string(data), "\n") {
		if text == "" {
			continue
		}
		if !strings.HasSuffix(text, "\n") {
			return lines, errors.New("last line has no newline: " + text)
		}
		m := logFormat.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			return lines, errors.New("not a CRI log line: " + text[:min(len(text), 200)])
		}
		at, err := time.Parse(time.RFC3339Nano, m[1])
		if err != nil {
			return lines, err
		}
		lines = append(lines, LogLine{Time: at, Stream: m[2], Tag: m[3], Text: m[4]})
	}
	return lines, nil
}

// LogPath is where the container's log stands.
func (h *Host) LogPath(id string) string { return h.Status(id).LogPath }

// Lines are the lines of the container's log.
func (h *Host) Lines(id string) []LogLine {
	h.Helper()
	data, err := os.ReadFile(h.LogPath(id))
	must(h, err)
	lines, err := ParseLog(data)
	must(h, err)
	return lines
}

// Join puts a stream of a log together again.
func Join(lines []LogLine, stream string) string {
	var text strings.Builder
	for _, line := range lines {
		if line.Stream != stream {
			continue
		}
		text.WriteString(line.Text)
		if line.Tag == "F" {
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// Written is what an exited container has written, by stream.
func (h *Host) Written(id string) (stdout, stderr string) {
	h.Helper()
	lines := h.Lines(id)
	return strings.TrimSuffix(Join(lines, "stdout"), "\n"), strings.TrimSuffix(Join(lines, "stderr"), "\n")
}

// WantCode fails the test unless the error has the code and each text.
func (h *Host) WantCode(err error, code codes.Code, texts ...string) {
	h.Helper()
	if status.Code(err) != code {
		h.Errorf("error is %v, want code %v", err, code)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			h.Errorf("error %q does not name %q", err, text)
		}
	}
}
