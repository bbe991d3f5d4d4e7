// How to rebuild the pods after the daemon died: one append-only file on tmpfs
// (docs/design/journal.md).
//   record = length (u32 LE) | crc32c of the payload (u32 LE) | payload (crisp.records.Record)
// Never synced: pods do not outlive a reboot, and neither does /run.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::records {
class Record;
}

namespace crisp::cri {

inline constexpr size_t kMaxRecordBytes = 4 << 20;

struct JournalReplay {
  std::vector<records::Record> records;
  uint64_t valid_bytes = 0;  // what follows is a torn tail
  std::string torn;          // why reading stopped; empty at a clean end
};

// Pure: reads what is whole, stops at the first record that is not.
JournalReplay ReplayJournal(absl::string_view bytes);

class Journal {
 public:
  // Opens or creates <state_dir>/journal, cuts a torn tail, and gives what it held.
  static StatusOr<std::unique_ptr<Journal>> Open(const std::string& state_dir,
                                                 JournalReplay* replay);

  Status Append(const records::Record& record);

  // Rewrites the file to `live` records once it has grown to several times their size (checked at
  // each call). Appends from other threads wait meanwhile; `live` is called under the journal's
  // lock.
  Status CompactIfLarge(const std::function<std::vector<records::Record>()>& live);

 private:
  Journal(UniqueFd dir, UniqueFd file, uint64_t size)
      : dir_(std::move(dir)), file_(std::move(file)), size_(size) {}

  std::mutex mu_;
  UniqueFd dir_, file_;
  uint64_t size_;
  uint64_t compact_at_ = 1 << 20;
};

}  // namespace crisp::cri
