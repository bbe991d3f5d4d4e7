// The encoded answers for many objects.
#pragma once

#include <string>
#include <vector>

#include "runtime/base/side_thread.h"

namespace crisp::cri {

// In the order of `targets`. Most of it is reading files of the kernel, which another core can do
// at the same time for the second half. `encode` is called from two threads, never for one target.
template <typename Target, typename Encode>
std::vector<std::string> EncodeAll(SideThread* side, const std::vector<Target>& targets,
                                   const Encode& encode) {
  constexpr size_t kWorthIt = 16;
  std::vector<std::string> all(targets.size());
  const auto range = [&](size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) all[i] = encode(targets[i]);
    return absl::OkStatus();
  };
  const size_t middle = targets.size() < kWorthIt ? targets.size() : targets.size() / 2;
  SideStep second(side, [&] { return range(middle, targets.size()); });
  (void)range(0, middle);
  (void)second.Join();
  return all;
}

}  // namespace crisp::cri
