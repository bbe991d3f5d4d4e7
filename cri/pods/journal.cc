#include "cri/pods/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/base/internal/endian.h"
#include "cri/pods/crc32c.h"
#include "cri/pods/records.pb.h"
#include "runtime/base/files.h"

namespace crisp::cri {
namespace {

constexpr size_t kHead = 8;
constexpr size_t kMaxJournalBytes = size_t{1} << 30;

std::string Encode(const records::Record& record) {
  std::string bytes(kHead, '\0');
  record.AppendToString(&bytes);
  const absl::string_view payload = absl::string_view(bytes).substr(kHead);
  absl::little_endian::Store32(&bytes[0], static_cast<uint32_t>(payload.size()));
  absl::little_endian::Store32(&bytes[4], Crc32c(payload));
  return bytes;
}

}  // namespace

JournalReplay ReplayJournal(absl::string_view bytes) {
  JournalReplay replay;
  while (!bytes.empty()) {
    if (bytes.size() < kHead) return replay.torn = "short head", replay;
    const uint32_t length = absl::little_endian::Load32(bytes.data());
    const uint32_t crc = absl::little_endian::Load32(bytes.data() + 4);
    if (length > kMaxRecordBytes) return replay.torn = "impossible length", replay;
    if (bytes.size() - kHead < length) return replay.torn = "short payload", replay;
    const absl::string_view payload = bytes.substr(kHead, length);
    if (Crc32c(payload) != crc) return replay.torn = "wrong checksum", replay;
    records::Record record;
    if (!record.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      return replay.torn = "not a record", replay;
    }
    replay.records.push_back(std::move(record));
    replay.valid_bytes += kHead + length;
    bytes.remove_prefix(kHead + length);
  }
  return replay;
}

StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& state_dir,
                                                 JournalReplay* replay) {
  ASSIGN_OR_RETURN(UniqueFd dir, OpenDir(state_dir));
  UniqueFd file(
      openat(dir.get(), "journal", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoStatus(errno, "open ", state_dir, "/journal");
  ASSIGN_OR_RETURN(const std::string bytes, ReadFileAt(dir.get(), "journal", kMaxJournalBytes));
  *replay = ReplayJournal(bytes);
  if (replay->valid_bytes != bytes.size() &&
      ftruncate(file.get(), static_cast<off_t>(replay->valid_bytes)) != 0) {
    return ErrnoStatus(errno, "cut the torn tail of ", state_dir, "/journal");
  }
  const uint64_t size = replay->valid_bytes;
  return std::unique_ptr<Journal>(new Journal(std::move(dir), std::move(file), size));
}

Status Journal::Append(const records::Record& record) {
  const std::string bytes = Encode(record);
  if (bytes.size() - kHead > kMaxRecordBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("journal: record of ", bytes.size(), " bytes"));
  }
  std::lock_guard<std::mutex> lock(mu_);
  const Status status = WriteAll(file_.get(), bytes);
  if (!status.ok()) {
    // A half-written record would hide all that follow it.
    if (ftruncate(file_.get(), static_cast<off_t>(size_)) != 0)
      return ErrnoStatus(errno, "journal: cut after failure");
    return Annotate(status, "journal");
  }
  size_ += bytes.size();
  return absl::OkStatus();
}

FoldedRecords FoldRecords(const std::vector<records::Record>& all) {
  FoldedRecords folded;
  for (const records::Record& record : all) {
    if (record.has_pod()) folded.pods[record.pod().id()] = record.pod();
    if (record.has_container()) folded.containers[record.container().id()] = record.container();
    if (!record.removed_pod().empty()) folded.pods.erase(record.removed_pod());
    if (!record.removed_container().empty()) folded.containers.erase(record.removed_container());
  }
  return folded;
}

Status Journal::CompactIfLarge() {
  std::lock_guard<std::mutex> lock(mu_);
  if (size_ < compact_at_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string grown, ReadFileAt(dir_.get(), "journal", kMaxJournalBytes));
  const FoldedRecords folded = FoldRecords(ReplayJournal(grown).records);
  std::string bytes;
  records::Record record;
  for (const auto& [id, pod] : folded.pods) {
    *record.mutable_pod() = pod;
    bytes += Encode(record);
  }
  for (const auto& [id, container] : folded.containers) {
    *record.mutable_container() = container;
    bytes += Encode(record);
  }
  RETURN_IF_ERROR(WriteFileAtomic(dir_.get(), "journal", bytes, 0600, /*sync=*/false));
  UniqueFd file(openat(dir_.get(), "journal", O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW));
  if (!file.valid()) return ErrnoStatus(errno, "reopen journal");
  file_ = std::move(file);
  size_ = bytes.size();
  compact_at_ = std::max<uint64_t>(1 << 20, size_ * 4);
  return absl::OkStatus();
}

}  // namespace crisp::cri
