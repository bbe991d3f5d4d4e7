#include "runtime/keeper/client_holdings.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace crisp::keeper {

uint32_t Holding::Mask() const {
  uint32_t mask = 0;
  for (uint32_t role = 0; role < kRoleCount; ++role)
    if (fds[role].valid()) mask |= 1u << role;
  return mask;
}

std::vector<int> Holding::FdList() const {
  std::vector<int> list;
  for (const UniqueFd& fd : fds)
    if (fd.valid()) list.push_back(fd.get());
  return list;
}

void Holding::Take(uint32_t mask, std::vector<UniqueFd>& from) {
  size_t next = 0;
  for (uint32_t role = 0; role < kRoleCount && next < from.size(); ++role)
    if ((mask & (1u << role)) != 0) fds[role] = std::move(from[next++]);
}

void Holding::CloseStreams() {
  for (const Role role :
       {kRoleStdout, kRoleStderr, kRolePty, kRoleTtyRead, kRoleTtyWrite, kRoleStage0, kRoleStage1})
    fds[role].Reset();
}

StatusOr<std::shared_ptr<Holding>> Holdings::Add(const std::string& id, Kind kind,
                                                 const SlotTable& table) {
  if (by_id_.contains(id)) return absl::AlreadyExistsError(absl::StrCat("keeper holds ", id));
  for (uint32_t slot = lowest_free_; slot < kSlots; ++slot) {
    if (by_slot_[slot] != nullptr) continue;
    if (table.slot[slot].state.load(std::memory_order_acquire) != SlotState::kFree) continue;
    return AddAt(id, kind, slot);
  }
  return absl::ResourceExhaustedError(absl::StrCat("keeper: all ", kSlots, " slots are used"));
}

std::shared_ptr<Holding> Holdings::AddAt(const std::string& id, Kind kind, uint32_t slot) {
  auto holding = std::make_shared<Holding>();
  holding->id = id;
  holding->kind = kind;
  holding->slot = slot;
  by_slot_[slot] = holding.get();
  by_id_[id] = holding;
  return holding;
}

std::shared_ptr<Holding> Holdings::Find(const std::string& id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

void Holdings::Remove(const std::string& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  by_slot_[found->second->slot] = nullptr;
  lowest_free_ = std::min(lowest_free_, found->second->slot);
  by_id_.erase(found);
}

std::vector<std::shared_ptr<Holding>> Holdings::All() const {
  std::vector<std::shared_ptr<Holding>> all;
  all.reserve(by_id_.size());
  for (const auto& [id, holding] : by_id_) all.push_back(holding);
  return all;
}

StatusOr<UniqueFd> DupFd(int fd) {
  if (fd < 0) return UniqueFd();
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return ErrnoStatus(errno, "duplicate descriptor ", fd);
  return copy;
}

}  // namespace crisp::keeper
