// What the daemon holds of each slot beside the keeper: the other copy of every descriptor.
// Not synchronised: the client's lock covers it; a holding that is removed lives until the last
// call that sends its descriptors is over.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "runtime/base/status.h"
#include "runtime/keeper/client.h"
#include "runtime/keeper/slot_table.h"
#include "runtime/sys/fd.h"

namespace crisp::keeper {

struct Holding {
  std::string id;
  Kind kind = Kind::kNone;
  uint32_t slot = 0;
  bool live = false;      // the launch is over, or it is a pod: a new keeper must get it
  bool reported = false;  // its exit was told
  std::array<UniqueFd, kRoleCount> fds;
  UniqueFd next_log;  // of a rotation that the keeper has not confirmed
  bool next_log_set = false;
  uint32_t next_generation = 0;
  bool rotating = false;

  uint32_t Mask() const;
  std::vector<int> FdList() const;  // in the order of the mask's bits
  void Take(uint32_t mask, std::vector<UniqueFd>& from);
  // All output is in the log: no pipe, pty or staging is needed any more.
  void CloseStreams();
};

class Holdings {
 public:
  Holdings() : by_slot_(kSlots, nullptr) {}
  // A holding with a slot that is free in the table and in use by no other holding.
  StatusOr<std::shared_ptr<Holding>> Add(const std::string& id, Kind kind, const SlotTable& table);
  std::shared_ptr<Holding> AddAt(const std::string& id, Kind kind, uint32_t slot);
  std::shared_ptr<Holding> Find(const std::string& id);
  Holding* OfSlot(uint32_t slot) { return slot < kSlots ? by_slot_[slot] : nullptr; }
  void Remove(const std::string& id);
  std::vector<std::shared_ptr<Holding>> All() const;

 private:
  absl::flat_hash_map<std::string, std::shared_ptr<Holding>> by_id_;
  std::vector<Holding*> by_slot_;
  uint32_t lowest_free_ = 0;  // none below it is free
};

StatusOr<UniqueFd> DupFd(int fd);  // CLOEXEC; -1 stays -1

}  // namespace crisp::keeper
