// Sparse files in tar: where the map is, and that it is true.
// Source: GNU tar manual, "Storing Sparse Files" (formats 0.0, 0.1, 1.0 and the old GNU one).
#include "imageservice/layers/tar_reader.h"

namespace crisp::image {
namespace {

constexpr size_t kOldRangeSize = 24;

Outcome CheckMap(const TarEntry& entry) {
  uint64_t end = 0, data = 0;
  for (const SparseRange& range : entry.sparse) {
    if (range.offset < end || range.size > kMaxFileSize || range.offset > kMaxFileSize) {
      return Outcome::BadLayer("sparse map out of order or out of range");
    }
    end = range.offset + range.size;
    data += range.size;
  }
  if (end > entry.real_size || entry.real_size > kMaxFileSize || data != entry.size) {
    return Outcome::BadLayer("sparse map does not fit the file's size");
  }
  return {};
}

// Returns false at the first unused slot.
bool AddOldRange(const char* slot, TarEntry* entry, bool* bad) {
  int64_t offset = 0, size = 0;
  *bad = !ParseTarNumber({slot, 12}, &offset) || !ParseTarNumber({slot + 12, 12}, &size) ||
         offset < 0 || size < 0;
  if (*bad || (offset == 0 && size == 0 && slot[12] == '\0')) return false;
  entry->sparse.push_back({static_cast<uint64_t>(offset), static_cast<uint64_t>(size)});
  return true;
}

}  // namespace

Outcome TarReader::ReadOldSparseMap(const char* block, TarEntry* entry) {
  int64_t real_size = 0;
  if (!ParseTarNumber({block + 483, 12}, &real_size) || real_size < 0) {
    return Outcome::BadLayer("bad size of a sparse file");
  }
  entry->real_size = static_cast<uint64_t>(real_size);
  bool bad = false, more = block[482] != 0;
  for (int i = 0; i < 4 && AddOldRange(block + 386 + i * kOldRangeSize, entry, &bad); ++i) {
  }
  while (more && !bad) {
    char next[kTarBlock];
    bool end = false;
    OUTCOME_TRY(ReadBlock(next, &end));
    if (end) return Outcome::BadLayer("the archive is truncated");
    for (int i = 0; i < 21 && AddOldRange(next + i * kOldRangeSize, entry, &bad); ++i) {
    }
    more = next[504] != 0;
    if (entry->sparse.size() > kMaxSparseRanges) bad = true;
  }
  return bad ? Outcome::BadLayer("bad sparse map") : Outcome();
}

// One decimal number and its newline; `buffer` holds the rest of the block read last.
Outcome TarReader::ReadMapNumber(std::string* buffer, uint64_t* number) {
  for (;;) {
    const size_t newline = buffer->find('\n');
    if (newline != std::string::npos) {
      int64_t value = 0;
      if (!ParseDecimal(buffer->substr(0, newline), &value)) break;
      *number = static_cast<uint64_t>(value);
      buffer->erase(0, newline + 1);
      return {};
    }
    if (buffer->size() > 32 || data_left_ < kTarBlock) break;
    char block[kTarBlock];
    bool end = false;
    OUTCOME_TRY(ReadBlock(block, &end));
    if (end) break;
    data_left_ -= kTarBlock;
    buffer->append(block, kTarBlock);
  }
  return Outcome::BadLayer("bad sparse map");
}

Outcome TarReader::ReadSparseMapInData(TarEntry* entry) {
  std::string buffer;
  uint64_t count = 0;
  OUTCOME_TRY(ReadMapNumber(&buffer, &count));
  if (count > kMaxSparseRanges) return Outcome::BadLayer("sparse map too large");
  for (uint64_t i = 0; i < count; ++i) {
    SparseRange range;
    OUTCOME_TRY(ReadMapNumber(&buffer, &range.offset));
    OUTCOME_TRY(ReadMapNumber(&buffer, &range.size));
    entry->sparse.push_back(range);
  }
  entry->size = data_left_;
  return {};
}

Outcome TarReader::ReadSparse(const char* block, char type, Extensions* extensions,
                              TarEntry* entry) {
  const PaxRecords& pax = extensions->pax;
  if (type != 'S' && !pax.sparse) return {};
  entry->is_sparse = true;
  if (type == 'S') {
    OUTCOME_TRY(ReadOldSparseMap(block, entry));
  } else {
    if (!pax.sparse_real_size) return Outcome::BadLayer("sparse file without its real size");
    entry->real_size = static_cast<uint64_t>(*pax.sparse_real_size);
    entry->sparse = pax.sparse_map;
    if (pax.sparse_map_in_data) {
      entry->sparse.clear();
      OUTCOME_TRY(ReadSparseMapInData(entry));
    }
  }
  return CheckMap(*entry);
}

}  // namespace crisp::image
