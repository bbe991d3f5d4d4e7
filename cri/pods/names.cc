#include "cri/pods/names.h"

#include <chrono>

#include "absl/time/clock.h"

namespace crisp::cri {

NameClaim::~NameClaim() {
  if (entry_ && maker_) Finish(absl::UnavailableError("the operation ended without a result"));
}

void NameClaim::Finish(const StatusOr<std::string>& id) {
  if (!entry_ || !maker_) return;
  std::lock_guard<std::mutex> lock(table_->mu_);
  entry_->done = true;
  entry_->id = id;
  if (!id.ok()) table_->entries_.erase(name_);
  entry_->changed.notify_all();
  entry_ = nullptr;
}

StatusOr<std::string> NameClaim::Wait(absl::Time deadline) {
  std::unique_lock<std::mutex> lock(table_->mu_);
  while (!entry_->done) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          absl::StrCat("\"", name_, "\" is still being made by an earlier request"));
    }
    entry_->changed.wait_for(lock, absl::ToChronoMilliseconds(std::min(left, absl::Hours(1))));
  }
  return entry_->id;
}

NameClaim NameTable::Claim(const std::string& name) {
  std::lock_guard<std::mutex> lock(mu_);
  std::shared_ptr<NameClaim::Entry>& entry = entries_[name];
  const bool maker = entry == nullptr;
  if (maker) entry = std::make_shared<NameClaim::Entry>();
  return NameClaim(this, name, entry, maker);
}

void NameTable::Free(const std::string& name) {
  std::lock_guard<std::mutex> lock(mu_);
  entries_.erase(name);
}

void NameTable::Take(const std::string& name, const std::string& id) {
  std::lock_guard<std::mutex> lock(mu_);
  auto entry = std::make_shared<NameClaim::Entry>();
  entry->done = true;
  entry->id = id;
  entries_[name] = std::move(entry);
}

}  // namespace crisp::cri
