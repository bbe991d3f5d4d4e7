// A netlink socket of the network namespace in which its thread was when it was opened.
#pragma once

#include <functional>
#include <vector>

#include "absl/strings/string_view.h"
#include "cni/netlink/message.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

class NlSocket {
 public:
  // NETLINK_ROUTE or NETLINK_NETFILTER.
  static StatusOr<NlSocket> Open(int protocol);
  // A socket that receives the notifications of `group`, only those of the listed message types,
  // all if none is listed (filtered in the kernel: nobody wakes up for the rest).
  static StatusOr<NlSocket> OpenMonitor(int protocol, uint32_t group,
                                        const std::vector<uint16_t>& types);

  // Sends all messages in one go. The kernel has worked them off when send returns, so there is
  // nothing to wait for. The first error is returned, named by `what` and the kernel's own text.
  // `ack_index` is the last message that can be acknowledged (nfnetlink: before BATCH_END).
  Status Transact(NlBatch& batch, absl::string_view what);
  Status Transact(NlBatch& batch, absl::string_view what, size_t ack_index);

  // One request (dump or not); calls `each` for every message of the answer. ABORTED: something
  // changed during the dump, and entries may be missing.
  Status Query(NlBatch& request, absl::string_view what,
               const std::function<void(const NlMessage&)>& each);

  // What a monitor has queued, without blocking. False: messages were lost, look for yourself.
  bool Drain(const std::function<void(const NlMessage&)>& each);

  int fd() const { return fd_.get(); }

 private:
  explicit NlSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Send(NlBatch& batch, absl::string_view what, size_t ack_index);
  // Bytes received, 0 when nothing is queued, -errno.
  long Receive();

  UniqueFd fd_;
  uint32_t sequence_ = 1;
  std::vector<char> buffer_;
};

}  // namespace crisp::cni
