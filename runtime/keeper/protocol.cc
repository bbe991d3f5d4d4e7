#include "runtime/keeper/protocol.h"

#include <cerrno>
#include <cstring>

namespace crisp::keeper {
namespace {

bool IsIdChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '.' || c == '-';
}

size_t CountBits(uint32_t mask) { return static_cast<size_t>(__builtin_popcount(mask)); }

// How many descriptors beyond those of the roles a request may carry.
struct ExtraFds {
  size_t least, most;
};
ExtraFds ExtraOf(RequestType type) {
  if (type == RequestType::kHello) return {0, 1};
  if (type == RequestType::kLaunch) return {1, 1 + kMaxPlanFds};
  if (type == RequestType::kSetLog) return {0, 1};
  if (type == RequestType::kAttach) return {1, 1};
  return {0, 0};
}

uint32_t AllowedRoles(const Request& request) {
  if (request.type == RequestType::kAttach) return Bit(kRoleStdout) | Bit(kRoleStderr);
  const bool gives_fds =
      request.type == RequestType::kHoldPod || request.type == RequestType::kLaunch ||
      request.type == RequestType::kHoldContainer || request.type == RequestType::kAdopt;
  if (!gives_fds) return 0;
  if (request.kind == Kind::kPod) return kPodRoles;
  if (request.kind == Kind::kExec) return Bit(kRolePidfd);
  return kContainerRoles;
}

bool KindFits(const Request& request) {
  switch (request.type) {
    case RequestType::kHoldPod:
      return request.kind == Kind::kPod;
    case RequestType::kLaunch:
      return request.kind == Kind::kContainer || request.kind == Kind::kExec;
    case RequestType::kHoldContainer:
      return request.kind == Kind::kContainer && request.pid > 0 &&
             (request.role_mask & Bit(kRolePidfd)) != 0;
    case RequestType::kAdopt:
      return request.kind == Kind::kPod || request.kind == Kind::kContainer ||
             request.kind == Kind::kExec;
    default:
      return true;
  }
}

bool NamesASlot(RequestType type) {
  return type != RequestType::kHello && type != RequestType::kGet &&
         type != RequestType::kAdoptDone;
}

bool NumbersFit(const Request& request) {
  if (request.deadline_ms < 0 || request.deadline_ms > kMaxDeadlineMs) return false;
  if (request.max_line > kMaxLineLimit) return false;
  if (request.offset > INT64_MAX / 2) return false;
  const bool logs =
      request.type == RequestType::kLaunch || request.type == RequestType::kHoldContainer;
  if (logs && request.max_line == 0) return false;
  return request.type == RequestType::kGet ? request.slot <= kSlots : request.slot < kSlots;
}

}  // namespace

bool IsValidId(const char* id) {
  const size_t length = strnlen(id, kIdSize);
  if (length == 0 || length == kIdSize) return false;
  for (size_t i = 0; i < length; ++i)
    if (!IsIdChar(id[i])) return false;
  return true;
}

int CheckRequest(const void* data, size_t size, size_t fd_count, Request* out, size_t* plan_fds) {
  if (size != sizeof(Request)) return EBADMSG;
  memcpy(out, data, sizeof(Request));
  if (out->magic != kMagic) return EBADMSG;
  if (out->major != kMajor) return EPROTONOSUPPORT;
  if (out->type < RequestType::kHello || out->type > RequestType::kHoldContainer) return ENOSYS;
  if (!NumbersFit(*out) || !KindFits(*out)) return EINVAL;
  if (NamesASlot(out->type) && !IsValidId(out->id)) return EINVAL;
  if ((out->role_mask & ~AllowedRoles(*out)) != 0) return EINVAL;
  const size_t role_fds = CountBits(out->role_mask);
  const ExtraFds extra = ExtraOf(out->type);
  if (fd_count < role_fds + extra.least || fd_count > role_fds + extra.most) return EINVAL;
  *plan_fds = fd_count - role_fds;
  return 0;
}

int CheckReply(const void* data, size_t size, size_t fd_count, Reply* out) {
  if (size != sizeof(Reply)) return EBADMSG;
  memcpy(out, data, sizeof(Reply));
  if (out->magic != kMagic) return EBADMSG;
  if (out->major != kMajor) return EPROTONOSUPPORT;
  if (out->type < ReplyType::kDone || out->type > ReplyType::kDrained) return EBADMSG;
  if (out->slot > kSlots || (out->role_mask >> kRoleCount) != 0) return EBADMSG;
  out->step[sizeof(out->step) - 1] = '\0';
  out->text[sizeof(out->text) - 1] = '\0';
  const bool table = out->type == ReplyType::kHello && out->error == 0;
  if (fd_count != CountBits(out->role_mask) + (table ? 1 : 0)) return EBADMSG;
  return 0;
}

}  // namespace crisp::keeper
