package system

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// Every refused pod names the field and leaves nothing behind.
func TestBadRequests(t *testing.T) {
	h := host.Start(t, host.Options{})
	for name, c := range map[string]struct {
		edit  host.Sandbox
		field string
	}{
		"no metadata":        {func(c *v1.PodSandboxConfig) { c.Metadata = nil }, "metadata"},
		"no name":            {func(c *v1.PodSandboxConfig) { c.Metadata.Name = "" }, "name"},
		"no uid":             {func(c *v1.PodSandboxConfig) { c.Metadata.Uid = "" }, "uid"},
		"no namespace":       {func(c *v1.PodSandboxConfig) { c.Metadata.Namespace = "" }, "namespace"},
		"host sysctl":        {func(c *v1.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{"vm.swappiness": "1"} }, "vm.swappiness"},
		"sysctl with a path": {func(c *v1.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{"net/../../vm/swappiness": "1"} }, "sysctl"},
		"host net sysctl": {func(c *v1.PodSandboxConfig) {
			host.HostNetwork(c)
			c.Linux.Sysctls = map[string]string{"net.ipv4.ip_default_ttl": "65"}
		}, "net.ipv4.ip_default_ttl"},
		"long hostname":     {func(c *v1.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 65) }, "hostname"},
		"cgroup with dots":  {func(c *v1.PodSandboxConfig) { c.Linux.CgroupParent = "/a/../../b" }, "cgroup_parent"},
		"group without uid": {func(c *v1.PodSandboxConfig) { c.Linux.SecurityContext.RunAsGroup = &v1.Int64Value{Value: 5} }, "run_as_group"},
	} {
		_, err := h.TryPod(h.PodConfig(c.edit))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		h.WantCode(err, codes.InvalidArgument, c.field)
	}
	if _, err := h.Raw.RunPodSandbox(context.Background(), &v1.RunPodSandboxRequest{}); err == nil {
		t.Error("an empty RunPodSandbox was accepted")
	}
	_, err := h.Raw.RunPodSandbox(context.Background(), &v1.RunPodSandboxRequest{Config: h.PodConfig(), RuntimeHandler: "no-such-handler"})
	if err == nil || !strings.Contains(err.Error(), "no-such-handler") {
		t.Errorf("unknown runtime handler: %v", err)
	}
	if list, _ := h.Runtime.ListPodSandbox(context.Background(), nil); len(list) != 0 {
		t.Errorf("%d pods are left", len(list))
	}
}

// The same for containers.
func TestBadContainerRequests(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	security := func(edit func(*v1.LinuxContainerSecurityContext)) host.Container {
		return func(c *v1.ContainerConfig) { edit(c.Linux.SecurityContext) }
	}
	for name, c := range map[string]struct {
		edit  host.Container
		field string
	}{
		"no metadata": {func(c *v1.ContainerConfig) { c.Metadata = nil }, "metadata"},
		"no name":     {func(c *v1.ContainerConfig) { c.Metadata.Name = "" }, "name"},
		"no image":    {func(c *v1.ContainerConfig) { c.Image = nil }, "image"},
		"uid 2^32":    {security(func(s *v1.LinuxContainerSecurityContext) { s.RunAsUser = &v1.Int64Value{Value: 4294967296} }), "4294967296"},
		"uid -1":      {security(func(s *v1.LinuxContainerSecurityContext) { s.RunAsUser = &v1.Int64Value{Value: -1} }), "-1"},
		"group 2^32":  {security(func(s *v1.LinuxContainerSecurityContext) { s.SupplementalGroups = []int64{4294967296} }), "4294967296"},
		"group only":  {security(func(s *v1.LinuxContainerSecurityContext) { s.RunAsGroup = &v1.Int64Value{Value: 7} }), "run_as_group"},
		"capability": {security(func(s *v1.LinuxContainerSecurityContext) {
			s.Capabilities = &v1.Capability{AddCapabilities: []string{"NO_SUCH"}}
		}), "NO_SUCH"},
		"relative mount": {func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: "/tmp", ContainerPath: "relative"}}
		}, "relative"},
		"mount over /proc": {func(c *v1.ContainerConfig) {
			c.Mounts = []*v1.Mount{{HostPath: "/tmp", ContainerPath: "/proc/../proc/"}}
		}, "/proc"},
		"privileged in a plain pod": {security(func(s *v1.LinuxContainerSecurityContext) { s.Privileged = true }), "privileged"},
		"localhost seccomp, empty": {security(func(s *v1.LinuxContainerSecurityContext) {
			s.Seccomp = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Localhost}
		}), "seccomp"},
	} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, c.edit))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: error %q does not name %q", name, err, c.field)
		}
	}
	_, err := h.TryCreate(pod, h.ContainerConfig(nil, func(c *v1.ContainerConfig) { c.Image.Image = "no.such/image:1" }))
	h.WantCode(err, codes.NotFound, "no.such/image:1")
	if list, _ := h.Runtime.ListContainers(context.Background(), nil); len(list) != 0 {
		t.Errorf("%d containers are left", len(list))
	}
}

// A stopped pod takes no container; a second pod of the same name but another attempt is another pod.
func TestCreateNeedsReadyPod(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	h.StopPod(pod.ID)
	if _, err := h.TryCreate(pod, h.ContainerConfig(nil)); err == nil {
		t.Error("CreateContainer in a stopped pod succeeded")
	}
	again := h.PodConfig(func(c *v1.PodSandboxConfig) {
		c.Metadata = &v1.PodSandboxMetadata{Name: pod.Config.Metadata.Name, Uid: pod.Config.Metadata.Uid, Namespace: "default", Attempt: 1}
	})
	second, err := h.TryPod(again)
	if err != nil || second.ID == pod.ID {
		t.Errorf("attempt 1: %v, %v", second, err)
	}
}
