// What the kernel's statistics files say. Pure, with limits: the files of a cgroup or a network
// namespace carry names that a container chose (interfaces), and as many lines as it likes.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace crisp::runtime {

inline constexpr uint64_t kNoLimit = UINT64_MAX;

// "12\n" -> 12, "max\n" -> kNoLimit; nothing for other text.
std::optional<uint64_t> ParseNumber(absl::string_view text);

struct Wanted {
  absl::string_view name;
  uint64_t* value;
};
// "name 12" lines (memory.stat, cpu.stat, memory.events, memory.oom_control): stores the values
// of the wanted names and leaves the others alone. True if at least one was there.
bool ParseKeyed(absl::string_view text, std::initializer_list<Wanted> wanted);

// A line of a pressure file; the total in nanoseconds.
struct PsiLine {
  uint64_t total_nanos = 0;
  double avg10 = 0, avg60 = 0, avg300 = 0;
};
struct Psi {
  PsiLine some, full;
};
std::optional<Psi> ParsePsi(absl::string_view text);

struct DeviceIo {
  uint32_t major = 0, minor = 0;
  uint64_t read_bytes = 0, write_bytes = 0, reads = 0, writes = 0;
};
// v1 blkio.throttle.io_service_bytes_recursive and io_serviced_recursive ("8:0 Read 12").
std::vector<DeviceIo> ParseBlkio(absl::string_view bytes, absl::string_view operations);
// v2 io.stat ("8:0 rbytes=12 wbytes=0 rios=1 ...").
std::vector<DeviceIo> ParseIoStat(absl::string_view text);

struct InterfaceUsage {
  std::string name;
  uint64_t rx_bytes = 0, rx_packets = 0, rx_errors = 0, rx_dropped = 0;
  uint64_t tx_bytes = 0, tx_packets = 0, tx_errors = 0, tx_dropped = 0;
};
// /proc/net/dev, without the loopback interface.
std::vector<InterfaceUsage> ParseNetDev(absl::string_view text);

// "sockets: used 12" of /proc/net/sockstat.
std::optional<uint64_t> ParseSocketsUsed(absl::string_view text);

// The numbers of cgroup.procs; 0 (a process that this pid namespace does not show) included.
std::vector<int> ParsePids(absl::string_view text, size_t limit);

}  // namespace crisp::runtime
