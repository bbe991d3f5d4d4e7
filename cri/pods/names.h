// Names in use, and operations under way by name: a retry of the same request joins the first one
// and gets its result. (The kubelet retries with the same name as soon as its own deadline has
// passed: "name is reserved" is the worst answer.)
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "runtime/base/status.h"

namespace crisp::cri {

class NameTable;

// One caller's view of a name. The maker must Finish(); dropping it unfinished counts as a failure.
class NameClaim {
 public:
  NameClaim(NameClaim&&) = default;
  ~NameClaim();

  bool is_maker() const { return maker_; }
  // Maker: the object exists now under `id` (the name stays taken until Free), or failed (the name
  // is free again).
  void Finish(const StatusOr<std::string>& id);
  // Not the maker: waits for the maker's result. DEADLINE_EXCEEDED at `deadline`.
  StatusOr<std::string> Wait(absl::Time deadline);

 private:
  friend class NameTable;
  struct Entry {
    bool done = false;
    StatusOr<std::string> id = absl::UnavailableError("the operation ended without a result");
    std::condition_variable changed;
  };
  NameClaim(NameTable* table, std::string name, std::shared_ptr<Entry> entry, bool maker)
      : table_(table), name_(std::move(name)), entry_(std::move(entry)), maker_(maker) {}

  NameTable* table_;
  std::string name_;
  std::shared_ptr<Entry> entry_;
  bool maker_;
};

class NameTable {
 public:
  NameClaim Claim(const std::string& name);
  // The object of this name is gone.
  void Free(const std::string& name);
  // Recovery: the name of an object that exists.
  void Take(const std::string& name, const std::string& id);

 private:
  friend class NameClaim;
  std::mutex mu_;
  std::map<std::string, std::shared_ptr<NameClaim::Entry>> entries_;
};

}  // namespace crisp::cri
