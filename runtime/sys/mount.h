// The mount API by file descriptor (kernel 5.2; mount_setattr 5.12) and openat2 (5.6).
#pragma once

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace crisp::sys {

inline int OpenTree(int dirfd, const char* path, unsigned flags) {
  return static_cast<int>(syscall(SYS_open_tree, dirfd, path, flags));
}
inline int MoveMount(int from, const char* from_path, int to, const char* to_path, unsigned flags) {
  return static_cast<int>(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}
// Attaches the detached mount `mount` on the object that `target` (O_PATH) refers to.
inline int AttachMount(int mount, int target) {
  return MoveMount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
inline int Fsopen(const char* type) {
  return static_cast<int>(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}
inline int FsconfigString(int fs, const char* key, const char* value) {
  return static_cast<int>(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
}
inline int FsconfigFlag(int fs, const char* key) {
  return static_cast<int>(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, nullptr, 0));
}
inline int FsconfigFd(int fs, const char* key, int fd) {
  return static_cast<int>(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, key, nullptr, fd));
}
inline int FsconfigCreate(int fs) {
  return static_cast<int>(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
}
inline int Fsmount(int fs, unsigned attributes) {
  return static_cast<int>(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
}

struct MountAttr {  // struct mount_attr
  uint64_t set, clear, propagation, userns_fd;
};
inline int MountSetattr(int dirfd, const char* path, unsigned flags, const MountAttr& attr) {
  return static_cast<int>(syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof(attr)));
}

struct OpenHow {  // struct open_how
  uint64_t flags, mode, resolve;
};
inline int Openat2(int dirfd, const char* path, uint64_t flags, uint64_t resolve,
                   uint64_t mode = 0) {
  OpenHow how{flags, mode, resolve};
  return static_cast<int>(syscall(SYS_openat2, dirfd, path, &how, sizeof(how)));
}
// A path of a tree that others can write: never leaves `root`, follows no magic link (rule 6 of the
// design).
inline int OpenInRoot(int root, const char* path, uint64_t flags, uint64_t mode = 0) {
  return Openat2(root, path, flags | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, mode);
}

}  // namespace crisp::sys
