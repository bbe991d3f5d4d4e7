// Whatever arrives on the socket: the decoders accept it only when every index and count fits.
#include <cstdlib>
#include <cstring>

#include "runtime/keeper/pidfd_proc.h"
#include "runtime/keeper/protocol.h"

namespace {

using namespace crisp::keeper;  // NOLINT

void CheckBoth(const uint8_t* data, size_t size, size_t fds) {
  Request request;
  size_t plan_fds = 0;
  if (CheckRequest(data, size, fds, &request, &plan_fds) == 0) {
    if (plan_fds > fds || plan_fds > kMaxPlanFds + 1 || request.slot > kSlots) abort();
    if (request.role_mask >> kRoleCount != 0 || request.max_line > kMaxLineLimit) abort();
    if (request.type == RequestType::kLaunch && !IsValidId(request.id)) abort();
  }
  Reply reply;
  if (CheckReply(data, size, fds, &reply) == 0 && reply.slot > kSlots) abort();
}

// The same bytes with a head that is accepted, so that what follows is reached.
template <typename Message>
void WithGoodHead(const uint8_t* data, size_t size, size_t fds) {
  Message message{};
  memcpy(&message, data, size < sizeof(message) ? size : sizeof(message));
  message.magic = kMagic;
  message.major = kMajor;
  message.type = static_cast<decltype(message.type)>(data[0] % 12);
  uint8_t bytes[sizeof(message)];
  memcpy(bytes, &message, sizeof(message));
  CheckBoth(bytes, sizeof(bytes), fds);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t fds = data[size - 1] % 254;
  CheckBoth(data, size, fds);
  WithGoodHead<Request>(data, size, fds);
  WithGoodHead<Reply>(data, size, fds);
  char text[1024] = {};
  for (size_t i = 0; i < size && i < sizeof(text) - 1; ++i) text[i] = static_cast<char>(data[i]);
  int status = 0;
  if (ParseZombieStat(text, &status) == 0 && (status < 0 || status > 0xffff)) abort();
  return 0;
}
