// How to rebuild the pods after the daemon died: one append-only file on tmpfs
// (docs/design/journal.md).
//   record = length (u32 LE) | crc32c of the payload (u32 LE) | payload (crisp.records.Record)
// Never synced: pods do not outlive a reboot, and neither does /run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cri/pods/records.pb.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cri {

inline constexpr size_t kMaxRecordBytes = 4 << 20;

struct JournalReplay {
  std::vector<records::Record> records;
  uint64_t valid_bytes = 0;  // what follows is a torn tail
  std::string torn;          // why reading stopped; empty at a clean end
};

// Pure: reads what is whole, stops at the first record that is not.
JournalReplay ReplayJournal(absl::string_view bytes);

// The last record of each object; a removal ends it.
struct FoldedRecords {
  std::map<std::string, records::Pod> pods;
  std::map<std::string, records::Container> containers;
};
FoldedRecords FoldRecords(const std::vector<records::Record>& all);

class Journal {
 public:
  // Opens or creates <state_dir>/journal, cuts a torn tail, and gives what it held.
  static StatusOr<std::unique_ptr<Journal>> Open(const std::string& state_dir,
                                                 JournalReplay* replay);

  Status Append(const records::Record& record);

  // Rewrites the file to the last record of each living object once it has grown to four times what
  // it was after the last rewrite. Works on the file alone (no object's lock), so appends wait for
  // some milliseconds: the janitor's call.
  Status CompactIfLarge();

 private:
  Journal(UniqueFd dir, UniqueFd file, uint64_t size)
      : dir_(std::move(dir)), file_(std::move(file)), size_(size) {}

  std::mutex mu_;
  UniqueFd dir_, file_;
  uint64_t size_;
  uint64_t compact_at_ = 1 << 20;
};

}  // namespace crisp::cri
