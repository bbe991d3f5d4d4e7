package lifecycle

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crisp.test/tests/system/host"
)

// deadMount mounts a FUSE file system at `dir` whose server answers INIT and the root's attributes, and then never again: who
// looks for a name in it hangs until `heal`, which ends the connection (the lookups fail with ENOTCONN).
func deadMount(h *host.Host, dir string) (heal func()) {
	h.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		h.Fatalf("open /dev/fuse: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("dead", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		h.Fatalf("mount fuse: %v", err)
	}
	stopped := make(chan struct{})
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		h.Fatal(err)
	}
	go func() {
		defer close(stopped)
		serveDead(fd, stop)
	}()
	healed := false
	heal = func() {
		if healed {
			return
		}
		healed = true
		unix.Write(stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-stopped
		unix.Close(stop)
		unix.Close(fd) // the last one: the connection is aborted
		unix.Unmount(dir, unix.MNT_DETACH)
	}
	h.Cleanup(heal)
	return heal
}

const (
	fuseGetattr = 3
	fuseInit    = 26
)

// serveDead speaks just enough of the protocol (linux/fuse.h): in = len, opcode, unique, nodeid ...; out = len, error, unique.
func serveDead(fd, stop int) {
	buffer := make([]byte, 1<<17)
	for {
		polls := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
		if _, err := unix.Poll(polls, -1); err != nil && err != unix.EINTR {
			return
		}
		if polls[1].Revents != 0 {
			return
		}
		if polls[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(fd, buffer)
		if err != nil || n < 40 {
			continue
		}
		opcode, unique := binary.LittleEndian.Uint32(buffer[4:]), binary.LittleEndian.Uint64(buffer[8:])
		var body []byte
		switch opcode {
		case fuseInit:
			body = make([]byte, 64)
			binary.LittleEndian.PutUint32(body[0:], 7)
			binary.LittleEndian.PutUint32(body[4:], 31)
			binary.LittleEndian.PutUint32(body[20:], 4096) // max_write
		case fuseGetattr:
			body = make([]byte, 104)
			binary.LittleEndian.PutUint64(body[0:], 3600) // attr_valid
			binary.LittleEndian.PutUint64(body[16:], 1)   // ino
			binary.LittleEndian.PutUint32(body[76:], unix.S_IFDIR|0o755)
			binary.LittleEndian.PutUint32(body[80:], 2) // nlink
		default:
			continue // dead
		}
		out := make([]byte, 16+len(body))
		binary.LittleEndian.PutUint32(out[0:], uint32(len(out)))
		binary.LittleEndian.PutUint64(out[8:], unique)
		copy(out[16:], body)
		unix.Write(fd, out)
	}
}

func folder(h *host.Host, name string) string {
	dir := h.Folder + "/" + name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.Fatal(err)
	}
	return dir
}
