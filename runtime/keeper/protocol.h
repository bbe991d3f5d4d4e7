// What daemon and keeper say to each other: one fixed struct each way, one packet of a
// SOCK_SEQPACKET socket each, bulk (plan, slot table, staging) in memfds, descriptors by
// SCM_RIGHTS. Bare world; the daemon's client includes it too. docs/design/keeper.md has the
// order of the messages.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace crisp::keeper {

inline constexpr uint32_t kMagic = 0x4b505243;  // "CRPK"
// A keeper outlives daemon upgrades: it refuses an unknown major, ignores the minor.
inline constexpr uint16_t kMajor = 1;
inline constexpr uint16_t kMinor = 2;

inline constexpr uint32_t kSlots = 4096;
inline constexpr size_t kIdSize = 72;  // 64 hex digits, NUL, rounded up
inline constexpr size_t kMaxPlanFds = 200;
inline constexpr size_t kMaxPlanSize = 1 << 20;
inline constexpr uint32_t kMaxLineLimit = 32768;  // half of the pump's window
inline constexpr int kMaxDeadlineMs = 10 * 60 * 1000;

// What a held descriptor is for. Both sides hold one of each; a packet's descriptors come in the
// order of these bits in `role_mask`, then those of the plan.
enum Role : uint32_t {
  kRolePidfd,
  kRoleStdout,   // read end
  kRoleStderr,   // read end
  kRolePty,      // master
  kRoleTtyRead,  // splice(2) needs a pipe on one side: pty -> this pipe -> staging
  kRoleTtyWrite,
  kRoleStage0,  // staging memfd of stdout or the tty
  kRoleStage1,  // of stderr
  kRoleLog,
  kRoleStdin,  // write end, only held
  kRoleNet,
  kRoleIpc,
  kRoleUts,
  kRoleShm,
  kRoleFiles,
  kRoleUser,
  kRoleCount,
};
constexpr uint32_t Bit(Role role) { return 1u << role; }
inline constexpr uint32_t kPodRoles = Bit(kRoleNet) | Bit(kRoleIpc) | Bit(kRoleUts) |
                                      Bit(kRoleShm) | Bit(kRoleFiles) | Bit(kRoleUser);
inline constexpr uint32_t kContainerRoles = (1u << kRoleNet) - 1;

enum class Kind : uint32_t { kNone, kPod, kContainer, kExec };

enum class RequestType : uint16_t {
  kHello = 1,  // [table] -> reply with the table; must be first
  kHoldPod,    // a pod's fds
  kLaunch,     // container or exec, by `kind`: role fds, the plan's memfd, the plan's fds
  kSetLog,     // one fd; offset, generation
  kFlush,      // deadline_ms
  kDrop,       // no reply
  kGet,        // reply: the next used slot from `slot` on, with its fds
  kAdopt,      // to a new keeper: all of a slot's fds
  kAdoptDone,  // what was not adopted is freed
  // Since minor 1; an older keeper answers ENOSYS.
  // Write ends as kRoleStdout, kRoleStderr (a tty: stdout), then one that is held as long as those
  // are fed; deadline_ms: patience with a client that does not read.
  kAttach,
  kCloseStdin,  // of a container without a terminal
  // A container that another program started as our child: role fds with the pidfd; pid.
  kHoldContainer,
};

struct Request {
  uint32_t magic;
  uint16_t major, minor;
  RequestType type;
  uint16_t reserved;
  uint32_t sequence;
  uint32_t slot;
  Kind kind;
  uint32_t role_mask;
  uint32_t generation;
  uint32_t max_line;
  int32_t deadline_ms;
  int32_t pid;
  uint64_t offset;
  uint64_t log_file_bytes, log_rate_bytes;  // kLaunch: limits of the log; 0: none
  char id[kIdSize];
};
static_assert(sizeof(Request) == 72 + kIdSize);

enum class ReplyType : uint16_t {
  kDone = 1,  // `error` 0 or errno
  kHello,     // + table fd; `pid`, `launchers`
  // + pidfd; or error, step, text. With `lost` (since minor 2) the child cannot be killed: a second
  // one, with the same sequence and an error, tells that its launcher is back.
  kLaunched,
  kSlot,     // kGet: `slot` = kSlots at the end
  kExited,   // event: look at this slot of the table; kSlots: look at all
  kDrained,  // event: all output of this slot has reached its log
};

struct Reply {
  uint32_t magic;
  uint16_t major, minor;
  ReplyType type;
  uint16_t fresh_table;  // hello: the keeper has just taken the table: adopt now
  uint32_t sequence;     // 0: an event
  uint32_t slot;
  int32_t error;
  uint32_t role_mask;
  int32_t pid;
  uint32_t launchers;
  uint32_t lost;
  int64_t time_nanos;
  char step[40];
  char text[160];
};
static_assert(sizeof(Reply) == 248);

// Everything that can be judged without the slot table. Returns 0 or errno; `plan_fds` is how many
// descriptors follow those of the roles.
int CheckRequest(const void* data, size_t size, size_t fd_count, Request* out, size_t* plan_fds);
int CheckReply(const void* data, size_t size, size_t fd_count, Reply* out);

bool IsValidId(const char* id);  // 1..71 of [0-9A-Za-z_.-], NUL-terminated within kIdSize

}  // namespace crisp::keeper
