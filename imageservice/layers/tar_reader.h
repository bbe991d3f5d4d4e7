// Reads a tar stream entry by entry: ustar, PAX, GNU long names, sparse files (old GNU, PAX 0.0,
// 0.1, 1.0). Knows nothing of files: layers/extract does what the entries say.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imageservice/layers/byte_source.h"
#include "imageservice/layers/outcome.h"
#include "imageservice/layers/tar_header.h"
#include "imageservice/layers/tar_pax.h"

namespace crisp::image {

// Bounds of hostile input (docs/design/images.md).
inline constexpr uint64_t kMaxEntries = 2000000;
inline constexpr size_t kMaxPath = 4096;
inline constexpr uint64_t kMaxFileSize = uint64_t{64} << 30;
inline constexpr uint64_t kMaxTrailer = 16 << 20;

struct TarEntry {
  enum class Type { kFile, kHardLink, kSymlink, kDirectory, kFifo, kDevice };
  Type type = Type::kFile;
  std::string path, link;
  uint64_t size = 0;       // bytes of data in the archive
  uint64_t real_size = 0;  // of the file; differs from `size` when sparse
  std::vector<SparseRange> sparse;
  bool is_sparse = false;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t mtime = 0, mtime_nanos = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

class TarReader {
 public:
  explicit TarReader(ByteSource* source) : bytes_(source) {}

  // The next entry, or *end. Data of the entry before that was not read is skipped.
  Outcome Next(TarEntry* entry, bool* end);
  // The next piece of the entry's data; empty = all of it has been read.
  Outcome Data(std::string_view* piece);
  // After the end: reads what follows (padding), which belongs to the digest too.
  Outcome Drain();

  uint64_t entries() const { return entries_; }

 private:
  struct Extensions {  // what the headers before an entry said about it
    PaxRecords pax;
    std::string long_name, long_link;
  };
  Outcome ReadBlock(char* block, bool* end);
  Outcome FinishData();
  Outcome ReadText(const TarHeader& header, std::string* text);
  Outcome ReadExtension(const TarHeader& header, Extensions* extensions, bool* is_extension);
  Outcome MakeEntry(const char* block, const TarHeader& header, Extensions* extensions,
                    TarEntry* entry);
  Outcome ReadSparse(const char* block, char type, Extensions* extensions, TarEntry* entry);
  Outcome ReadOldSparseMap(const char* block, TarEntry* entry);
  Outcome ReadSparseMapInData(TarEntry* entry);
  Outcome ReadMapNumber(std::string* buffer, uint64_t* number);

  ByteReader bytes_;
  uint64_t data_left_ = 0, padding_ = 0, entries_ = 0;
};

}  // namespace crisp::image
