#include "cni/builtin/address_ledger.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "runtime/base/stages.h"

namespace crisp::cni {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// Usually the pod's owner closes the namespace at once and the kernel takes the cable with it.
constexpr int64_t kGraceNanos = 500'000'000;
constexpr int64_t kAgainNanos = 1'000'000'000;

// Another runtime on this node may use the same host-local folder: its reservations are files.
bool ReservedOnDisk(const BridgeNetwork& network, const IpAddr& ip) {
  if (network.data_dir.empty()) return false;
  return access(absl::StrCat(network.data_dir, "/", network.name, "/", ip.ToString()).c_str(),
                F_OK) == 0;
}

}  // namespace

bool AddressLedger::TryTake(const BridgeNetwork& network, std::vector<IpAddr>* ips) {
  for (const RangeSet& set : network.ranges) {
    const std::optional<IpAddr> ip = book_.Take(
        set, [&](const IpAddr& candidate) { return ReservedOnDisk(network, candidate); });
    if (!ip) {
      for (const IpAddr& taken : *ips) book_.Free(taken);
      ips->clear();
      return false;
    }
    ips->push_back(*ip);
  }
  return true;
}

StatusOr<std::vector<IpAddr>> AddressLedger::Take(const BridgeNetwork& network, int timeout_ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::vector<IpAddr> ips;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!TryTake(network, &ips)) {
    if (fences_.empty() || std::chrono::steady_clock::now() >= deadline) {
      return absl::ResourceExhaustedError(absl::StrCat("network ", network.name,
                                                       ": no free address, ", book_.size(),
                                                       " in use or being released"));
    }
    MakeAllDue(false);
    wake_();
    changed_.wait_until(lock, deadline);
  }
  return ips;
}

void AddressLedger::Free(const std::vector<IpAddr>& ips) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const IpAddr& ip : ips) book_.Free(ip);
  changed_.notify_all();
}

Status AddressLedger::Claim(const std::string& link, const std::vector<IpAddr>& ips) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto fence = fences_.find(link); fence != fences_.end()) {
    for (const IpAddr& ip : fence->second.ips) book_.Free(ip);
    fences_.erase(fence);
  }
  for (size_t i = 0; i < ips.size(); ++i) {
    if (book_.Reserve(ips[i])) continue;
    for (size_t undo = 0; undo < i; ++undo) book_.Free(ips[undo]);
    return absl::AlreadyExistsError(
        absl::StrCat("address ", ips[i].ToString(), " belongs to another pod"));
  }
  return absl::OkStatus();
}

void AddressLedger::Fence(const std::string& link, const std::vector<IpAddr>& ips, Due due) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t now = MonotonicNanos();
    const int64_t at = due == Due::kNever ? kNever : due == Due::kNow ? now : now + kGraceNanos;
    for (const IpAddr& ip : ips) book_.Reserve(ip);
    fences_[link] = FencedLink{ips, at, false};
  }
  wake_();
}

void AddressLedger::LinkGone(const std::string& link) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto fence = fences_.find(link);
  if (fence == fences_.end()) return;
  for (const IpAddr& ip : fence->second.ips) book_.Free(ip);
  fences_.erase(fence);
  changed_.notify_all();
}

void AddressLedger::MakeAllDue(bool also_never) {
  const int64_t now = MonotonicNanos();
  for (auto& [link, fence] : fences_)
    if (also_never || fence.due != kNever) fence.due = std::min(fence.due, now);
}

void AddressLedger::DueAll() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    MakeAllDue(true);
  }
  wake_();
}

std::vector<std::string> AddressLedger::TakeUnchecked() {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> links;
  for (auto& [link, fence] : fences_) {
    if (fence.checked) continue;
    fence.checked = true;
    links.push_back(link);
  }
  return links;
}

std::vector<std::string> AddressLedger::TakeDue(int64_t now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> links;
  for (auto& [link, fence] : fences_) {
    if (fence.due > now) continue;
    fence.due = now + kAgainNanos;
    links.push_back(link);
  }
  return links;
}

int64_t AddressLedger::NextDue() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t next = kNever;
  for (const auto& [link, fence] : fences_) next = std::min(next, fence.due);
  return next;
}

std::vector<std::string> AddressLedger::FencedLinks() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::string> links;
  for (const auto& [link, fence] : fences_) links.push_back(link);
  return links;
}

bool AddressLedger::WaitUntilNoFences(int timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  MakeAllDue(false);
  wake_();
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [&] { return fences_.empty(); });
}

size_t AddressLedger::in_use() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return book_.size();
}

}  // namespace crisp::cni
