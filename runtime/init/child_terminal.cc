// The terminal of an exec. It must be of the devpts that the container sees, or the program could
// not open its own terminal by name; so it is made here, inside the container's mount namespace,
// and our end goes to the daemon through a socket. Opened by nobody but a stub that the launch's
// deadline kills: what lies on the way to /dev/pts is the container's business and may hang.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "runtime/init/child.h"
#include "runtime/init/child_target.h"
#include "runtime/sys/mount.h"
#include "runtime/sys/scm_rights.h"

namespace crisp::init {
namespace {

// Only a devpts is entered, and in it nothing that was mounted over the kernel's own node: no file
// of the container's choice is ever opened (S4, CVE-2025-52565).
int OpenMaster(Child& child) {
  const int pts = OpenTarget(child, "/dev/pts");
  if (pts < 0) return -1;
  struct statfs info;
  if (fstatfs(pts, &info) != 0) return -1;
  if (info.f_type != DEVPTS_SUPER_MAGIC) {
    errno = ENODEV;
    return -1;
  }
  const int master = sys::Openat2(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC,
                                  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  const int err = errno;
  close(pts);
  errno = err;
  return master;
}

int OpenSlave(int master, uint32_t uid) {
  const int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) return -1;
  const int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || uid == 0) return slave;
  return fchown(slave, uid, static_cast<gid_t>(-1)) == 0 ? slave : -1;
}

}  // namespace

int OpenTerminal(Child& child) {
  if (!child.plan.Has(kPlanTty)) return 0;
  child.Note("/dev/pts", "a new terminal");
  const int socket = child.Fd(child.head().stdio[0]);
  const int master = OpenMaster(child);
  if (master < 0) return errno;
  child.terminal = OpenSlave(master, child.head().uid);
  if (child.terminal < 0) return errno;
  const int err = sys::SendPacket(socket, "T", 1, &master, 1, MSG_DONTWAIT);
  // Neither may be there when the process becomes visible in the container.
  close(master);
  close(socket);
  return err;
}

}  // namespace crisp::init
