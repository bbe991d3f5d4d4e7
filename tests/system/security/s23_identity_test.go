package security

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
	"crisp.test/tests/system/registry"
)

// CVE-2022-36109 and its kin: the primary group is always in the list of groups, so that "the group may not" holds.
func TestS23NegativeGroupPermission(t *testing.T) {
	h := host.Start(t, host.Options{})
	image := withEntries(registry.Config{Cmd: []string{"sh"}}, registry.Entry{Name: "secret", Body: "secret", Mode: 0o604, Gid: 4321})
	load(h, image)
	pod := h.Pod()
	for _, policy := range []v1.SupplementalGroupsPolicy{v1.SupplementalGroupsPolicy_Merge, v1.SupplementalGroupsPolicy_Strict} {
		id := h.Sleeper(pod, imageOf(image), edit(func(s *v1.LinuxContainerSecurityContext) {
			s.RunAsUser, s.RunAsGroup = &v1.Int64Value{Value: 2000}, &v1.Int64Value{Value: 4321}
			s.SupplementalGroups, s.SupplementalGroupsPolicy = []int64{5555}, policy
		}))
		if out, _, code := h.Exec(id, "cat", "/secret"); code == 0 {
			t.Errorf("%v: the group reads what it may not: %q", policy, out)
		}
		for _, pid := range []string{"1", "self"} {
			if got := h.ExecOut(id, "grep ^Groups /proc/"+pid+"/status | cut -f2"); strings.TrimSpace(got) != "4321 5555" {
				t.Errorf("%v, process %s: groups %q", policy, pid, got)
			}
		}
	}
}

// CVE-2023-2431: a profile that is not there or not good is an error that names it, never "no profile".
func TestS25BadSeccompProfile(t *testing.T) {
	h := host.Start(t, host.Options{})
	makeBadProfiles(h)
	pod := h.Pod()
	for _, ref := range []string{"", "relative.json", "localhost/", "/missing.json", h.Folder, h.Folder + "/fifo", h.Folder + "/large.json", h.Folder + "/bad.json", "/dev/zero", "/dev/tty",
		"/a/../b", "/x\x00y"} {
		for name, change := range map[string]func(*v1.LinuxContainerSecurityContext){
			"seccomp": func(s *v1.LinuxContainerSecurityContext) {
				s.Seccomp = &v1.SecurityProfile{ProfileType: v1.SecurityProfile_Localhost, LocalhostRef: ref}
			},
			"seccomp_profile_path": func(s *v1.LinuxContainerSecurityContext) {
				s.Seccomp, s.SeccompProfilePath = nil, "localhost/"+ref
			},
		} {
			_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, edit(change)))
			if err == nil {
				t.Errorf("%s %q: accepted", name, ref)
			} else if !strings.Contains(err.Error(), "seccomp") || (strings.HasPrefix(ref, "/") && !strings.Contains(ref, "\x00") && !strings.Contains(err.Error(), ref)) {
				t.Errorf("%s %q: the error does not name it: %v", name, ref, err)
			}
		}
	}
	if list, _ := h.Runtime.ListContainers(context.Background(), nil); len(list) != 0 {
		t.Errorf("%d containers are left", len(list))
	}
}

// CVE-2022-4318: nothing that the request says is ever written into the image's own files.
func TestS28HomeWithNewline(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	_, want, _ := h.Sh(pod, "md5sum < /etc/passwd; md5sum < /etc/group")
	for _, user := range []int64{0, 54321} {
		_, out, _ := h.Sh(pod, "md5sum < /etc/passwd; md5sum < /etc/group", func(c *v1.ContainerConfig) {
			c.Envs = []*v1.KeyValue{{Key: "HOME", Value: []byte("/x\nroot2::0:0:::/bin/sh")}}
			c.Linux.SecurityContext.RunAsUser = &v1.Int64Value{Value: user}
		})
		if out != want {
			t.Errorf("user %d: the image's files have changed: %q, %q", user, out, want)
		}
	}
}

// CVE-2023-6476, CVE-2026-53488: what annotations and image labels say to other runtimes means nothing. A pod's user writes the pod's
// annotations and the image's labels, the kubelet alone a container's: "cdi.k8s.io/*" is heeded there, where it puts what a device
// plugin told it, and nowhere else.
func TestS27ForeignAnnotations(t *testing.T) {
	folder := t.TempDir()
	os.WriteFile(folder+"/vendor.json", []byte(`{"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["GPU=given"]}}]}`), 0o644)
	h := host.Start(t, host.Options{Config: fmt.Sprintf("cdi_dirs = [%q]\n", folder)})
	foreign := map[string]string{
		"org.systemd.property.MemoryMax": "'1'", "io.kubernetes.cri-o.userns-mode": "auto", "io.kubernetes.cri-o.Devices": "/dev/kmsg",
		"io.kubernetes.cri-o.UnifiedCgroup.app": "memory.max=1", "cpu-load-balancing.crio.io": "disable", "io.containerd.runc.v2.group": "x",
		"containerd.io/restart.loguri": "binary:///bin/sh", "run.oci.keep_original_groups": "1", "run.oci.hooks.stderr": "/x",
		"io.podman.annotations.seccomp": "unconfined", "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
		"container.apparmor.security.beta.kubernetes.io/x": "unconfined", "io.kubernetes.cri.rdt-class": "x", "blockio.resources.beta.kubernetes.io/pod": "x",
	}
	withCdi := maps.Clone(foreign)
	withCdi["cdi.k8s.io/vendor"] = "vendor.com/gpu=0"
	show := "echo GPU is $GPU; grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp.*|Cpus_allowed):' /proc/self/status; ls -lR /dev | grep -v '^total' | tr -s ' ' | cut -d' ' -f1,3-6,10-; cut -d' ' -f5-6,9 /proc/self/mountinfo; ulimit -a; cat /proc/self/oom_score_adj; find /sys/fs/cgroup -name '*limit_in_bytes' -maxdepth 2 -exec cat {} ';'"
	image := registry.Build(registry.Config{Cmd: []string{"sh"}, Labels: withCdi}, registry.BusyboxLayer())
	load(h, image)
	_, plain, _ := h.Sh(h.Pod(), show)
	annotated := h.Pod(func(c *v1.PodSandboxConfig) { c.Annotations = withCdi })
	_, odd, _ := h.Sh(annotated, show, imageOf(image), func(c *v1.ContainerConfig) { c.Annotations = foreign })
	if plain != odd || len(plain) < 500 {
		t.Errorf("without:\n%s\nwith:\n%s", plain, odd)
	}
	_, given, _ := h.Sh(annotated, "echo GPU is $GPU", func(c *v1.ContainerConfig) { c.Annotations = withCdi })
	if given != "GPU is given" || !strings.Contains(odd, "GPU is\n") {
		t.Errorf("by the kubelet's annotation: %q, by the others:\n%s", given, odd)
	}
}
