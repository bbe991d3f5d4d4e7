#include "cni/network_worker.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "runtime/base/pending.h"
#include "runtime/base/stages.h"
#include "runtime/sys/retry.h"

namespace crisp::cni {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// After a failure (no address left, bridge name taken) the pool is not tried at once again.
constexpr int64_t kRefillPauseNanos = 5'000'000'000;
constexpr int64_t kRestorePauseNanos = 1'000'000'000;

}  // namespace

StatusOr<std::unique_ptr<NetworkWorker>> NetworkWorker::Start(Parts parts) {
  std::unique_ptr<NetworkWorker> worker(new NetworkWorker(std::move(parts)));
  worker->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!worker->wake_.valid()) return ErrnoStatus(errno, "make eventfd of the network worker");
  ASSIGN_OR_RETURN(NlSocket links,
                   NlSocket::OpenMonitor(NETLINK_ROUTE, RTNLGRP_LINK, {RTM_DELLINK}));
  worker->links_.emplace(std::move(links));
  ASSIGN_OR_RETURN(NlSocket route, NlSocket::Open(NETLINK_ROUTE));
  worker->route_.emplace(std::move(route));
  // One message a transaction says that something changed. A kernel without nftables can still run
  // networks that do not masquerade.
  StatusOr<NlSocket> nft = NlSocket::OpenMonitor(NETLINK_NETFILTER, NFNLGRP_NFTABLES, {});
  if (nft.ok()) worker->nft_.emplace(std::move(*nft));
  worker->thread_ = std::thread([raw = worker.get()] { raw->Run(); });
  return worker;
}

NetworkWorker::~NetworkWorker() {
  stop_ = true;
  Wake();
  if (thread_.joinable()) thread_.join();
}

void NetworkWorker::Wake() {
  const uint64_t one = 1;
  // A full counter wakes as well.
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
}

void NetworkWorker::Run() {
  while (!stop_) {
    Wait();
    HearLinks();
    HearTables();
    CheckFences();
    DeleteDueCables();
    FillPool();
  }
}

int64_t NetworkWorker::NextDeadline() {
  const std::shared_ptr<LiveNetwork> network = parts_.network();
  int64_t refill = parts_.pool->RefillAt(network.get());
  if (refill != kNever) refill = std::max(refill, refill_not_before_);
  return std::min({parts_.ledger->NextDue(), refill, restore_again_at_});
}

void NetworkWorker::Wait() {
  const int64_t deadline = NextDeadline();
  timespec timeout{};
  if (deadline != kNever) {
    const int64_t left = std::max<int64_t>(0, deadline - MonotonicNanos());
    timeout = {left / 1'000'000'000, left % 1'000'000'000};
  }
  pollfd fds[3] = {{wake_.get(), POLLIN, 0}, {links_->fd(), POLLIN, 0}, {-1, POLLIN, 0}};
  if (nft_) fds[2].fd = nft_->fd();
  ppoll(fds, 3, deadline == kNever ? nullptr : &timeout, nullptr);
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof(count));
}

void NetworkWorker::HearLinks() {
  const std::shared_ptr<LiveNetwork> network = parts_.network();
  bool bridge_gone = false;
  const bool complete = links_->Drain([&](const NlMessage& message) {
    const std::optional<Link> link = ParseLink(message);
    if (!link || link->family == AF_BRIDGE) return;
    parts_.ledger->LinkGone(link->name);
    bridge_gone = bridge_gone || (network && link->name == network->config().bridge);
  });
  if (!complete) {
    for (const std::string& link : parts_.ledger->FencedLinks())
      if (absl::IsNotFound(GetLink(*route_, link).status())) parts_.ledger->LinkGone(link);
  }
  if (!bridge_gone) return;
  network->Invalidate();
  for (Attachment& attachment : parts_.pool->Drain()) network->Unmake(std::move(attachment));
}

void NetworkWorker::HearTables() {
  if (!nft_) return;
  bool changed = false;
  const bool complete = nft_->Drain([&](const NlMessage&) { changed = true; });
  const int64_t now = MonotonicNanos();
  if (!changed && complete && now < restore_again_at_) return;
  restore_again_at_ = parts_.tables->Restore().ok() ? kNever : now + kRestorePauseNanos;
}

void NetworkWorker::CheckFences() {
  for (const std::string& link : parts_.ledger->TakeUnchecked())
    if (absl::IsNotFound(GetLink(*route_, link).status())) parts_.ledger->LinkGone(link);
}

void NetworkWorker::DeleteDueCables() {
  for (const std::string& link : parts_.ledger->TakeDue(MonotonicNanos())) {
    NlBatch batch;
    AppendDeleteLink(batch, link);
    const Status status = route_->Transact(batch, absl::StrCat("delete link ", link));
    // An error leaves it fenced: it comes again.
    if (status.ok() || ErrnoOf(status) == ENODEV) parts_.ledger->LinkGone(link);
  }
}

void NetworkWorker::FillPool() {
  const std::shared_ptr<LiveNetwork> network = parts_.network();
  const int64_t now = MonotonicNanos();
  if (!network || now < refill_not_before_ || now < parts_.pool->RefillAt(network.get())) return;
  parts_.pool->BeginMaking();
  const Pending done([this] { parts_.pool->EndMaking(); });
  StatusOr<Attachment> attachment = network->Make(0);
  if (!attachment.ok()) {
    refill_not_before_ = now + kRefillPauseNanos;
    return;
  }
  if (!parts_.pool->Put(network.get(), &*attachment)) network->Unmake(std::move(*attachment));
}

}  // namespace crisp::cni
