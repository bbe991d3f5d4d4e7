// UpdateContainerResources: what a change means for what is in force.
#include <algorithm>

#include "cri/translate/resources.h"

namespace crisp::cri {
namespace {

void MergeHugepages(const v1::LinuxContainerResources& change, v1::LinuxContainerResources* out) {
  for (const v1::HugepageLimit& limit : change.hugepage_limits()) {
    auto* all = out->mutable_hugepage_limits();
    const auto same = [&](const auto& one) { return one.page_size() == limit.page_size(); };
    const auto found = std::find_if(all->begin(), all->end(), same);
    *(found == all->end() ? all->Add() : &*found) = limit;
  }
}

}  // namespace

v1::LinuxContainerResources MergeResources(v1::LinuxContainerResources current,
                                           const v1::LinuxContainerResources& change) {
  // Proto 3 merges as CRI means it: numbers and texts that are not 0 or "" replace, maps by key.
  // Only the list of hugepage limits would be appended to.
  v1::LinuxContainerResources rest = change;
  rest.clear_hugepage_limits();
  current.MergeFrom(rest);
  MergeHugepages(change, &current);
  return current;
}

StatusOr<ResourceUpdate> TranslateUpdate(const v1::LinuxContainerResources& current,
                                         const v1::LinuxContainerResources& change,
                                         runtime::CgroupMode mode) {
  ResourceUpdate update;
  update.merged = MergeResources(current, change);
  ASSIGN_OR_RETURN(update.whole, TranslateResources(update.merged, mode));
  v1::LinuxContainerResources now = change;
  // The kernel's files hold pairs: v1 compares memory with memory + swap, v2 counts swap alone.
  if (change.memory_limit_in_bytes() != 0 || change.memory_swap_limit_in_bytes() != 0) {
    now.set_memory_limit_in_bytes(update.merged.memory_limit_in_bytes());
    now.set_memory_swap_limit_in_bytes(update.merged.memory_swap_limit_in_bytes());
  }
  ASSIGN_OR_RETURN(update.change, TranslateResources(now, mode));
  update.oom_score_adj =
      change.oom_score_adj() != 0 && change.oom_score_adj() != current.oom_score_adj();
  return update;
}

}  // namespace crisp::cri
