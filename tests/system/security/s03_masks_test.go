package security

import (
	"fmt"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

// CVE-2025-31133: what masks a path must not be taken from the container's own /dev/null, which may be a link to procfs.
func TestS03MaskSourceIsNotTheContainers(t *testing.T) {
	h := host.Start(t, host.Options{})
	pattern := hostFile("/proc/sys/kernel/core_pattern")
	dev := h.Folder + "/dev"
	if err := os.MkdirAll(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	pod := h.Pod()
	share := &v1.Mount{HostPath: dev, ContainerPath: "/dev"}
	flip := h.Run(pod, []string{"sh", "-c", "cd /shared; while :; do ln -sf /proc/sys/kernel/core_pattern null; rm null; : > null; rm null; done"},
		func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{{HostPath: dev, ContainerPath: "/shared"}} })
	for i := 0; i < 25; i++ {
		out, err := outcome(h, pod, h.ContainerConfig([]string{"sh", "-c",
			"for f in /proc/keys /proc/kcore /proc/timer_list /proc/interrupts; do test ! -e $f || wc -c < $f; (echo x > $f) 2>/tmp/e && echo WRITTEN $f; done; ls /proc/scsi /sys/firmware /proc/acpi 2>/tmp/e; grep -c core_pattern /proc/self/mountinfo"},
			func(c *v1.ContainerConfig) { c.Mounts = []*v1.Mount{share} }))
		if err != nil {
			continue
		}
		for _, line := range strings.Fields(out) {
			if strings.Trim(line, "0") != "" && !strings.HasSuffix(line, ":") {
				t.Fatalf("start %d: a masked path shows or takes something: %q", i, out)
			}
		}
	}
	h.StopContainer(flip, 0)
	if now := hostFile("/proc/sys/kernel/core_pattern"); now != pattern {
		t.Errorf("core_pattern is now %q", now)
	}
}

// GHSA-7ww5-4wqc-m92c and its kin: what a default container must not read, also if the client's list of masks is an old one.
func TestS17MaskedByDefault(t *testing.T) {
	h := host.Start(t, host.Options{})
	pod := h.Pod()
	paths := []string{"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap"}
	script := ""
	for _, path := range paths {
		script += fmt.Sprintf("if [ -d %[1]s ]; then ls -A %[1]s; elif [ -e %[1]s ]; then head -c 20 %[1]s; fi\n", path)
	}
	for name, masks := range map[string][]string{"the kubelet's list": nil, "a list of one": {"/proc/asound"}} {
		_, out, _ := h.Sh(pod, script, edit(func(s *v1.LinuxContainerSecurityContext) {
			if masks != nil {
				s.MaskedPaths = masks
			}
		}))
		if out != "" {
			t.Errorf("%s: something shows: %q", name, out)
		}
	}
	// procMount: Unmasked sends empty lists, and means it.
	_, out, _ := h.Sh(pod, "head -c 3 /proc/timer_list | wc -c; mount | grep -c 'proc/sys '", edit(func(s *v1.LinuxContainerSecurityContext) {
		s.MaskedPaths, s.ReadonlyPaths = nil, nil
	}))
	if lines := strings.Fields(out); len(lines) != 2 || lines[0] == "0" || lines[1] != "0" {
		t.Errorf("unmasked: %q", out)
	}
}
