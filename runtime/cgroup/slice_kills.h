// Whose processes the OOM killer ended, also when the cgroup that counted them is gone: systemd
// removes a scope with its last process. The kernel counts each kill in the victim's cgroup and in
// all above it, so what the slice counted and none of its other scopes did was the gone one's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp::runtime {

// The accounts of all slices in which scopes of ours are.
class SliceKills {
 public:
  using Counter = std::function<StatusOr<uint64_t>()>;  // an error: the cgroup is gone

  // A scope's place in the account of its slice, for as long as this object lives.
  class Entry {
   public:
    // Several objects of one scope share its place. `slice` and `scope` live as long as this.
    Entry(SliceKills* all, std::string slice_path, std::string unit, Counter slice, Counter scope);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Of the scope, there or gone. When several went at once nobody can tell whose a kill was:
    // then it is that of one which is `likely` to have been hit.
    StatusOr<uint64_t> Kills(bool likely) const;

   private:
    SliceKills* const all_;
    const std::string slice_path_, unit_;
    const Counter slice_, scope_;
  };

 private:
  struct Scope {
    std::vector<const Counter*> counters;  // any of them
    uint64_t known = 0;
    bool gone = false, settled = false;  // settled: what is known is all
  };
  struct Slice {
    uint64_t others = 0;  // counted by scopes that are no more, and before ours came
    std::map<std::string, Scope> scopes;
  };
  static void Look(Scope* scope);
  static StatusOr<uint64_t> Unexplained(const Counter& total, Slice* slice);
  static Status Settle(const Counter& total, Slice* slice, Scope* scope, bool likely);

  std::mutex mutex_;
  std::map<std::string, Slice> slices_;
};

}  // namespace crisp::runtime
