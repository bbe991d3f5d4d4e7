// Arbitrary bytes as a journal: no crash, and what was accepted is a prefix that reads the same
// again.
#include <cstdlib>

#include "cri/pods/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const crisp::cri::JournalReplay replay = crisp::cri::ReplayJournal(bytes);
  if (replay.valid_bytes > size) abort();
  const auto again = crisp::cri::ReplayJournal(bytes.substr(0, replay.valid_bytes));
  if (again.records.size() != replay.records.size() || !again.torn.empty()) abort();
  crisp::cri::FoldRecords(replay.records);
  return 0;
}
