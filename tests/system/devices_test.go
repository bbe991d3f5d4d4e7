package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"crisp.test/tests/system/host"
)

func devices(devices ...*v1.Device) host.Container {
	return func(c *v1.ContainerConfig) { c.Devices = append(c.Devices, devices...) }
}

func makeNode(t *testing.T, path string, mode uint32, major, minor uint32) {
	t.Helper()
	if err := unix.Mknod(path, mode, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatal(err)
	}
}

// A device under another name, by a link of the host, with the rights that were asked for and no others.
func TestDevice(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder := tmpfs(t, h.Folder+"/devices")
	makeNode(t, folder+"/tun", unix.S_IFCHR|0o600, 10, 200)
	os.Symlink(folder+"/tun", folder+"/by-id")
	pod := h.Pod()
	const make = "mknod /tmp/k c 10 200"
	for _, c := range []struct {
		permissions string
		read, write bool
	}{{"r", true, false}, {"w", false, true}, {"rw", true, true}, {"rwm", true, true}, {"m", false, false}} {
		id := h.Sleeper(pod, devices(&v1.Device{HostPath: folder + "/by-id", ContainerPath: "/dev/deep/t", Permissions: c.permissions}))
		if got := h.ExecOut(id, "stat -c '%F %t:%T %a' /dev/deep/t"); got != "character special file a:c8 600" {
			t.Errorf("%s: the node is %q", c.permissions, got)
		}
		for script, want := range map[string]bool{"exec 3< /dev/deep/t": c.read, "exec 3>> /dev/deep/t": c.write, make: true} {
			if _, errText, code := h.Exec(id, "sh", "-c", script); (code == 0) != want {
				t.Errorf("%s: %q ends with %d (%s)", c.permissions, script, code, errText)
			}
		}
		h.RemoveContainer(id)
	}
	// Without the request nothing but the default devices can be opened.
	id := h.Sleeper(pod)
	if _, _, code := h.Exec(id, "sh", "-c", make+" && exec 3< /tmp/k"); code == 0 {
		t.Error("a device that was not asked for can be opened")
	}
	if out, errText, code := h.Exec(id, "sh", "-c", "for d in null zero full random urandom tty; do test -c /dev/$d || exit 1; done; echo x > /dev/null; head -c 1 /dev/zero /dev/urandom > /dev/null; exec 3<>/dev/ptmx"); code != 0 {
		t.Errorf("the default devices: %s %s", out, errText)
	}
}

// A folder stands for every device in it, also deeper; what is no device is left out.
func TestDeviceFolder(t *testing.T) {
	h := host.Start(t, host.Options{})
	folder := tmpfs(t, h.Folder+"/devices")
	os.MkdirAll(folder+"/deep/er", 0o755)
	makeNode(t, folder+"/null", unix.S_IFCHR|0o666, 1, 3)
	makeNode(t, folder+"/deep/er/tun", unix.S_IFCHR|0o640, 10, 200)
	write(t, folder+"/text", "x")
	pod := h.Pod()
	id := h.Sleeper(pod, devices(&v1.Device{HostPath: folder, ContainerPath: "/dev/mine", Permissions: "rw"}))
	if got := h.ExecOut(id, "cd /dev/mine; find . ! -type d | sort; exec 3< deep/er/tun; stat -c %t:%T deep/er/tun"); got != "./deep/er/tun\n./null\na:c8" {
		t.Errorf("%q", got)
	}
	os.Mkdir(folder+"/empty", 0o755)
	if _, err := h.TryCreate(pod, h.ContainerConfig([]string{"true"}, devices(&v1.Device{HostPath: folder + "/empty", ContainerPath: "/dev/x", Permissions: "r"}))); err == nil ||
		!strings.Contains(err.Error(), "holds no device") {
		t.Errorf("an empty folder: %v", err)
	}
}

// A privileged container has every device of the host and may make and open any.
func TestPrivilegedDevices(t *testing.T) {
	h := host.Start(t, host.Options{})
	id := h.Sleeper(h.Pod(privilegedPod), privileged)
	for _, name := range []string{"kmsg", "mem", "fuse", "loop-control", "net/tun", "vda", "sda"} {
		if info, err := os.Lstat("/dev/" + name); err == nil && info.Mode()&os.ModeDevice != 0 {
			h.ExecOut(id, "test -e /dev/"+name)
		}
	}
	seen := strings.Fields(h.ExecOut(id, "find /dev -type c -o -type b"))
	var missing []string
	filepath.WalkDir("/dev", func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type()&os.ModeDevice != 0 && !strings.HasPrefix(path, "/dev/pts") && path != "/dev/console" && path != "/dev/ptmx" &&
			!strings.HasPrefix(path, "/dev/shm") && !strings.HasPrefix(entry.Name(), ".") && !contains(seen, path) {
			missing = append(missing, path)
		}
		return nil
	})
	if len(missing) > 0 {
		t.Errorf("the host has also %v", missing)
	}
	h.ExecOut(id, "mknod /tmp/k c 10 200 && exec 3< /tmp/k")
}

func contains(all []string, one string) bool {
	for _, each := range all {
		if each == one {
			return true
		}
	}
	return false
}
