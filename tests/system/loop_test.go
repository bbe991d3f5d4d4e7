package system

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crisp.test/tests/system/host"
)

// loopVolume is a file system in a file. Where the machine lends no loop devices, a tmpfs stands in: its unmount is
// watched through a second look at who still holds it.
type loopVolume struct {
	h     *host.Host
	path  string
	image string
	super uint64 // device number of the file system
}

func attachLoopVolume(h *host.Host, path string) *loopVolume {
	h.Helper()
	v := &loopVolume{h: h, path: path, image: h.Folder + "/volume.img"}
	os.Remove(v.image)
	file, err := os.Create(v.image)
	if err == nil {
		err = file.Truncate(8 << 20)
		file.Close()
	}
	if err != nil {
		h.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", v.image).CombinedOutput(); err != nil {
		h.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", v.image, path).CombinedOutput(); err != nil {
		h.Logf("no loop device here (%s): a tmpfs stands in", strings.TrimSpace(string(out)))
		v.image = ""
		if err := unix.Mount("volume", path, "tmpfs", 0, "size=1m"); err != nil {
			h.Fatal(err)
		}
	}
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		h.Fatal(err)
	}
	v.super = stat.Dev
	return v
}

// Detach unmounts as the kubelet does, right now, and then wants the file system itself gone: the loop device free, or
// no mount of it in any process's namespace and no fd on it.
func (v *loopVolume) Detach() error {
	if err := unix.Unmount(v.path, 0); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		holder := v.holder()
		if holder == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s still holds the volume's file system", holder)
		}
	}
}

func (v *loopVolume) holder() string {
	if v.image != "" {
		out, _ := exec.Command("losetup", "-j", v.image).Output()
		if len(out) > 0 {
			return strings.TrimSpace(string(out))
		}
		return ""
	}
	number := fmt.Sprintf("%d:%d", unix.Major(v.super), unix.Minor(v.super))
	for _, pid := range append([]int{v.h.DaemonPid()}, v.h.KeeperPids()...) {
		fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		for _, fd := range fds {
			var stat unix.Stat_t
			if unix.Stat(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()), &stat) == nil && stat.Dev == v.super {
				return fmt.Sprintf("fd %s of process %d", fd.Name(), pid)
			}
		}
		if info, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid)); strings.Contains(string(info), " "+number+" ") {
			return fmt.Sprintf("a mount of process %d", pid)
		}
	}
	return ""
}
