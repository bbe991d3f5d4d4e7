#include "runtime/cgroup/slice_kills.h"

#include <algorithm>
#include <utility>

namespace crisp::runtime {
namespace {

uint64_t Less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

void SliceKills::Look(Scope* scope) {
  const StatusOr<uint64_t> now = (*scope->counters.front())();
  scope->gone = !now.ok();
  if (now.ok()) scope->known = *now;
}

// What the slice counted and no scope has on its account. Read again if it rose meanwhile, so that
// a scope's new kill is not taken for another's.
StatusOr<uint64_t> SliceKills::Unexplained(const Counter& total, Slice* slice) {
  constexpr int kTries = 5;
  ASSIGN_OR_RETURN(uint64_t counted, total());
  for (int i = 0; i < kTries; ++i) {
    uint64_t explained = slice->others;
    for (auto& [unit, scope] : slice->scopes) {
      Look(&scope);
      explained += scope.known;
    }
    ASSIGN_OR_RETURN(const uint64_t again, total());
    if (again == counted) return Less(counted, explained);
    counted = again;
  }
  return 0;
}

Status SliceKills::Settle(const Counter& total, Slice* slice, Scope* scope, bool likely) {
  ASSIGN_OR_RETURN(const uint64_t unexplained, Unexplained(total, slice));
  const bool alone =
      std::none_of(slice->scopes.begin(), slice->scopes.end(), [&](const auto& entry) {
        return &entry.second != scope && entry.second.gone && !entry.second.settled;
      });
  scope->settled = true;
  if (alone) {
    scope->known += unexplained;
  } else if (likely) {
    scope->known += std::min<uint64_t>(unexplained, 1);
  }
  return absl::OkStatus();
}

SliceKills::Entry::Entry(SliceKills* all, std::string slice_path, std::string unit, Counter slice,
                         Counter scope)
    : all_(all),
      slice_path_(std::move(slice_path)),
      unit_(std::move(unit)),
      slice_(std::move(slice)),
      scope_(std::move(scope)) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  const auto [found, is_new] = all_->slices_.try_emplace(slice_path_);
  Slice& account = found->second;
  if (is_new) account.others = slice_().value_or(0);
  Scope& mine = account.scopes[unit_];
  mine.counters.push_back(&scope_);
  if (mine.counters.size() > 1) return;
  Look(&mine);
  account.others = Less(account.others, mine.known);  // from here on it stands on its own account
}

SliceKills::Entry::~Entry() {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  const auto account = all_->slices_.find(slice_path_);
  const auto mine = account->second.scopes.find(unit_);
  auto& counters = mine->second.counters;
  Look(&mine->second);
  if (counters.size() > 1) {
    counters.erase(std::find(counters.begin(), counters.end(), &scope_));
    return;
  }
  if (mine->second.gone && !mine->second.settled)
    Settle(slice_, &account->second, &mine->second, /*likely=*/false).IgnoreError();
  account->second.others += mine->second.known;
  account->second.scopes.erase(mine);
  if (account->second.scopes.empty()) all_->slices_.erase(account);
}

StatusOr<uint64_t> SliceKills::Entry::Kills(bool likely) const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  Slice& account = all_->slices_.at(slice_path_);
  Scope& mine = account.scopes.at(unit_);
  Look(&mine);
  if (!mine.gone || mine.settled) return mine.known;
  RETURN_IF_ERROR(Settle(slice_, &account, &mine, likely));
  return mine.known;
}

}  // namespace crisp::runtime
