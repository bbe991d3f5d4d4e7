// The launch plan: what the code between clone and execve needs, as one flat block that is valid at
// any 8-aligned address. Little more than a table of contents; every offset, count and index is
// checked by OpenPlan before use. Format and reasons: docs/design/launch.md.
#pragma once

#include <stdint.h>

namespace crisp::init {

inline constexpr uint32_t kPlanMagic = 0x50534952;  // "RISP"
inline constexpr uint32_t kPlanVersion = 2;
inline constexpr uint32_t kPlanMaxSize = 8 << 20;  // execve itself takes 6 MiB of strings at most

enum class PlanKind : uint32_t { kStart = 1, kExec = 2 };

// Descriptors are named by their position in the launch packet; kNoFd where there is none.
using FdIndex = int32_t;
inline constexpr FdIndex kNoFd = -1;

// Offset in the string table, which ends with a NUL: so every offset inside it is a C string.
using Str = uint32_t;

struct Span {  // `count` elements at `offset` from the start of the plan, 8-aligned
  uint32_t offset, count;
};

enum PlanFlag : uint32_t {
  kPlanTty = 1u << 0,  // stdin is a terminal: make it the controlling one
  kPlanNoNewPrivs = 1u << 1,
  kPlanReadonlyRoot = 1u << 2,
  kPlanMqueue = 1u << 3,
  kPlanProc = 1u << 4,
  kPlanSys = 1u << 5,
  kPlanSysWritable = 1u << 6,  // privileged: /sys and /sys/fs/cgroup read-write
  kPlanCgroupNamespace = 1u << 7,
  kPlanConsole = 1u << 8,  // bind /dev/pts/0 on /dev/console
  // Exec: seccomp before the fork into the pid namespace, because somebody there may ptrace
  // (exec_init.cc).
  kPlanFilterBeforeEntry = 1u << 9,
  // Exec: the stub gets memory of its own, because processes of the container see it (they live in
  // its pid namespace or in a user namespace that owns its memory, R4), or because memory is
  // limited in v2, where memory.oom.group ends all that share a member's memory: the keeper (S13).
  kPlanOwnMemory = 1u << 10,
  kPlanHostPid = 1u << 16,        // start: no pid namespace of its own, the keeper's
  kPlanUserNamespace = 1u << 17,  // exec: the container is in one
};

// LOG and SPEC_ALLOW: the flags without a further effect on the launch.
inline constexpr uint32_t kPlanSeccompFlags = 1u << 1 | 1u << 2;

struct PlanMount {
  FdIndex mount;       // detached, attributes and propagation already set
  Str target;          // absolute path in the container
  uint32_t directory;  // what to make where the target is missing: 1 directory, 0 empty file
  uint32_t
      kernel_tree;  // 1: the target is /proc, /sys or below: it exists, and no link leads there
};

struct PlanCgroupMount {  // below /sys/fs/cgroup
  Str name;               // one directory name; "" = on /sys/fs/cgroup itself (pure v2)
  uint32_t v2;
  Span options;  // of Str, "key" or "key=value"
};

struct PlanLink {
  Str name, target;
};

struct PlanRlimit {
  uint32_t resource, reserved;
  uint64_t soft, hard;
};

struct PlanCaps {
  uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct PlanHeader {
  uint32_t magic, version, size;
  PlanKind kind;
  uint32_t flags;  // PlanFlag
  uint32_t uid, gid;
  int32_t oom_score_adj;
  uint32_t seccomp_flags;  // SECCOMP_FILTER_FLAG_*
  Str mount_label;         // start: SELinux label of what the child mounts itself; "": none
  PlanCaps caps;

  FdIndex stdio[3];             // never kNoFd
  FdIndex cgroup_v2;            // directory for CLONE_INTO_CGROUP
  FdIndex container;            // exec: pidfd of the container's first process
  FdIndex net, ipc, uts;        // start: namespaces to join
  FdIndex user;                 // start: the user namespace that owns them, joined too
  FdIndex pid;                  // start: pidfd of a process whose pid namespace is joined
  FdIndex root, dev, pts, shm;  // start: detached mounts (shm: on /dev/shm)
  FdIndex proc, sys;            // start: detached, instead of those that the child makes
  FdIndex program;              // start: executed instead of the file that args[0] names

  Str cwd;
  Str apparmor;           // "exec NAME" for attr/apparmor/exec; "": nothing to write
  Str process_label;      // SELinux, for attr/exec; "": nothing to write
  Str program_path;       // value of PATH for the search of args[0]
  Span args, env;         // of Str
  Span groups;            // of uint32_t, for setgroups
  Span rlimits;           // of PlanRlimit
  Span v1_tasks;          // of FdIndex: write "0" to each
  Span mounts;            // of PlanMount, in the order of attaching
  Span cgroup_mounts;     // of PlanCgroupMount
  Span cgroup_links;      // of PlanLink
  Span masked, readonly;  // of Str
  Span seccomp;           // of 8-byte sock_filter
  Span strings;           // of char, the last one NUL
};
static_assert(sizeof(PlanHeader) % 8 == 0);

}  // namespace crisp::init
