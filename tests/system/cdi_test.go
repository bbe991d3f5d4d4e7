package system

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

func cdi(names ...string) host.Container {
	return func(c *v1.ContainerConfig) {
		for _, name := range names {
			c.CDIDevices = append(c.CDIDevices, &v1.CDIDevice{Name: name})
		}
	}
}

// cdiHost has two folders of specifications, the second one beats the first.
func cdiHost(t *testing.T) (h *host.Host, static, dynamic string) {
	folder := t.TempDir()
	static, dynamic = folder+"/static", folder+"/dynamic"
	os.Mkdir(static, 0o755)
	os.Mkdir(dynamic, 0o755)
	return host.Start(t, host.Options{Config: fmt.Sprintf("cdi_dirs = [%q, %q, %q]\n", static, dynamic, folder+"/absent")}), static, dynamic
}

// Devices, mounts, environment and groups of a specification, in JSON and YAML, by field and by annotation; what was taken
// at creation stays over a restart of the daemon, whatever the folders hold then.
func TestCDIDevices(t *testing.T) {
	h, static, dynamic := cdiHost(t)
	devices := tmpfs(t, h.Folder+"/devices")
	makeNode(t, devices+"/tun", unix.S_IFCHR|0o600, 10, 200)
	write(t, devices+"/library", "library")
	write(t, static+"/vendor.json", fmt.Sprintf(`{"cdiVersion": "0.6.0", "kind": "vendor.com/gpu",
 "containerEdits": {"env": ["COMMON=yes"], "mounts": [{"hostPath": "%[1]s/library", "containerPath": "/usr/lib/vendor/library", "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]}]},
 "devices": [
  {"name": "0", "containerEdits": {"env": ["GPU=0", "REPLACED=cdi"], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "%[1]s/tun", "permissions": "r", "fileMode": 416, "gid": 44}]}},
  {"name": "all", "containerEdits": {"env": ["GPU=all"], "deviceNodes": [{"path": "/dev/gpuctl", "type": "c", "major": 10, "minor": 200}], "additionalGids": [4711]}}]}`, devices))
	write(t, dynamic+"/other.yaml", `cdiVersion: 0.5.0
kind: other.org/nic
devices:
- name: "eth-1"
  containerEdits:
    env: ["NIC=1"]
    hooks:
    deviceNodes:
    - {path: /dev/nic, type: c, major: 1, minor: 5, fileMode: 0666}
`)
	pod := h.Pod()
	id := h.Create(pod, h.ContainerConfig([]string{"sleep", "1000"}, cdi("vendor.com/gpu=0", "vendor.com/gpu=all", "vendor.com/gpu=0"), func(c *v1.ContainerConfig) {
		c.Annotations = map[string]string{"cdi.k8s.io/other": "other.org/nic=eth-1"}
		c.Envs = append(c.Envs, &v1.KeyValue{Key: "REPLACED", Value: []byte("request")})
	}))
	os.Remove(static + "/vendor.json")
	h.KillDaemon()
	h.StartDaemon()
	h.StartContainer(id)
	if got := h.ExecOut(id, "echo $COMMON $GPU $NIC $REPLACED; cat /usr/lib/vendor/library; echo; id -G; stat -c '%t:%T %a %g' /dev/gpu0 /dev/gpuctl; head -c 1 /dev/nic | wc -c"); got !=
		"yes all 1 cdi\nlibrary\n0 4711\na:c8 640 44\na:c8 666 0\n1" && !strings.HasPrefix(got, "yes all 1 cdi\nlibrary\n0 10 4711") {
		t.Errorf("%q", got)
	}
	for script, want := range map[string]bool{"exec 3< /dev/gpu0": true, "exec 3< /dev/gpuctl": true, "echo x > /usr/lib/vendor/library": false} {
		if _, errText, code := h.Exec(id, "sh", "-c", script); (code == 0) != want {
			t.Errorf("%q ends with %d: %s", script, code, errText)
		}
	}
	if mounts := h.Status(id).Mounts; len(mounts) != 0 {
		t.Errorf("the status shows mounts that were not asked for: %v", mounts)
	}
}

// A later folder beats an earlier one; two definitions in one folder are an error, as are unknown devices, names that are
// none, hooks, and files that cannot be read, which the error names.
func TestCDIRefused(t *testing.T) {
	h, static, dynamic := cdiHost(t)
	spec := func(kind, value string) string {
		return fmt.Sprintf(`{"cdiVersion": "1.0.0", "kind": %q, "devices": [{"name": "d", "containerEdits": {"env": ["WHO=%s"]}}]}`, kind, value)
	}
	write(t, static+"/a.json", spec("v.com/over", "static"))
	write(t, dynamic+"/a.json", spec("v.com/over", "dynamic"))
	write(t, static+"/b.json", spec("v.com/twice", "b"))
	write(t, static+"/c.json", spec("v.com/twice", "c"))
	write(t, static+"/hook.json", `{"cdiVersion": "1.0.0", "kind": "v.com/hook", "devices": [{"name": "d", "containerEdits": {"hooks": [{"hookName": "createContainer", "path": "/usr/bin/hook"}]}}]}`)
	write(t, static+"/gone.json", `{"cdiVersion": "1.0.0", "kind": "v.com/gone", "devices": [{"name": "d", "containerEdits": {"mounts": [{"hostPath": "/no/such/file", "containerPath": "/x"}]}}]}`)
	write(t, static+"/broken.json", `{"cdiVersion": "1.0.0", "kind": "v.com/broken", "devices": [{"name": "d", "containerEdits": {"unknown": 1}}]}`)
	pod := h.Pod()
	_, out, _ := h.Sh(pod, "echo $WHO", cdi("v.com/over=d"))
	if out != "dynamic" {
		t.Errorf("the later folder says %q", out)
	}
	for name, texts := range map[string][]string{
		"v.com/twice=d":  {"ambiguous", static + "/b.json", static + "/c.json"},
		"v.com/over=e":   {"no such device", static + "/broken.json", "unknown"},
		"v.com/hook=d":   {"createContainer", "/usr/bin/hook", "not supported"},
		"v.com/over":     {"vendor.com/class=device"},
		"../../x=y":      {"vendor.com/class=device"},
		"v.com/broken=d": {"no such device", "broken.json"},
	} {
		_, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, cdi(name)))
		h.WantCode(err, codes.InvalidArgument, append(texts, "CDI_devices")...)
	}
	if _, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, cdi("v.com/gone=d"))); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat("/no"); err == nil {
		t.Error("a missing file of a vendor was made on the host")
	}
}
