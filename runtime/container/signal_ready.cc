#include "runtime/container/signal_ready.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"

namespace crisp::runtime {

bool SignalWouldBeDropped(pid_t pid, int signal) {
  const auto status = ReadFile(absl::StrCat("/proc/", pid, "/status"), 64 << 10);
  if (!status.ok()) return false;
  uint64_t handled = 0;
  for (const absl::string_view line : absl::StrSplit(*status, '\n')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(":\t", 1));
    uint64_t mask = 0;
    if (field.first != "SigBlk" && field.first != "SigIgn" && field.first != "SigCgt") continue;
    if (!absl::SimpleHexAtoi(field.second, &mask)) return false;
    handled |= mask;
  }
  return (handled & (uint64_t{1} << (signal - 1))) == 0;
}

}  // namespace crisp::runtime
