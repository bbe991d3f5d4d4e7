#include "imageservice/layers/tar_reader.h"

#include <algorithm>

namespace crisp::image {
namespace {

constexpr int64_t kMaxTime = 253402300799;  // year 9999: what ext4 and people can read

uint64_t PaddingOf(uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

Outcome CheckHeaderNumbers(const TarHeader& header) {
  constexpr int64_t kMaxId = 0xfffffffe;  // (uid_t)-1 means "leave as it is" to chown(2)
  if (header.size < 0 || static_cast<uint64_t>(header.size) > kMaxFileSize) {
    return Outcome::BadLayer("size out of range");
  }
  if (header.uid < 0 || header.uid > kMaxId || header.gid < 0 || header.gid > kMaxId) {
    return Outcome::BadLayer("user or group id out of range");
  }
  return {};
}

Outcome TypeOf(const TarHeader& header, TarEntry::Type* type) {
  switch (header.type) {
    case '0':
    case '7':  // contiguous: an ordinary file
    case 'S':
      // V7 writers marked a directory only by its name.
      *type = !header.name.empty() && header.name.back() == '/' ? TarEntry::Type::kDirectory
                                                                : TarEntry::Type::kFile;
      return {};
    case '1':
      *type = TarEntry::Type::kHardLink;
      return {};
    case '2':
      *type = TarEntry::Type::kSymlink;
      return {};
    case '3':
    case '4':
      *type = TarEntry::Type::kDevice;
      return {};
    case '5':
      *type = TarEntry::Type::kDirectory;
      return {};
    case '6':
      *type = TarEntry::Type::kFifo;
      return {};
    default:
      return Outcome::BadLayer("unsupported tar entry type " +
                               std::to_string(static_cast<unsigned char>(header.type)));
  }
}

Outcome CheckText(std::string_view what, std::string_view text) {
  if (text.size() >= kMaxPath) {
    return Outcome::BadLayer(std::string(what) + " longer than 4095 bytes");
  }
  if (text.find('\0') != std::string_view::npos) {
    return Outcome::BadLayer(std::string(what) + " contains NUL");
  }
  return {};
}

// PAX wins over GNU's long name, which wins over the header.
void ApplyNames(const PaxRecords& pax, const std::string& long_name, const std::string& long_link,
                TarHeader* header) {
  if (!long_name.empty()) header->name = long_name;
  if (!long_link.empty()) header->link = long_link;
  if (pax.path) header->name = *pax.path;
  if (pax.sparse && pax.sparse_name) header->name = *pax.sparse_name;
  if (pax.link) header->link = *pax.link;
}

void ApplyNumbers(const PaxRecords& pax, TarHeader* header) {
  if (pax.size) header->size = *pax.size;
  if (pax.uid) header->uid = *pax.uid;
  if (pax.gid) header->gid = *pax.gid;
  if (pax.mtime) header->mtime = *pax.mtime;
}

}  // namespace

Outcome TarReader::ReadBlock(char* block, bool* end) {
  size_t got = 0;
  OUTCOME_TRY(bytes_.Read(block, kTarBlock, &got));
  *end = got == 0;
  if (got != 0 && got != kTarBlock) return Outcome::BadLayer("the archive is truncated");
  return {};
}

Outcome TarReader::FinishData() {
  OUTCOME_TRY(bytes_.Skip(data_left_ + padding_));
  data_left_ = padding_ = 0;
  return {};
}

Outcome TarReader::Next(TarEntry* entry, bool* end) {
  Extensions extensions;
  for (int headers = 0;; ++headers) {
    if (headers > 16) return Outcome::BadLayer("too many extended headers before one entry");
    OUTCOME_TRY(FinishData());
    char block[kTarBlock];
    OUTCOME_TRY(ReadBlock(block, end));
    // A stream that ends without its two zero blocks is accepted, as by every reader: whether
    // bytes are missing is decided by the digests.
    if (*end || IsZeroBlock(block)) {
      *end = true;
      return {};
    }
    TarHeader header;
    OUTCOME_TRY(ParseTarHeader(block, &header));
    OUTCOME_TRY(CheckHeaderNumbers(header));
    bool is_extension = false;
    OUTCOME_TRY(ReadExtension(header, &extensions, &is_extension));
    if (is_extension) continue;
    if (++entries_ > kMaxEntries) return Outcome::BadLayer("more than 2000000 entries");
    return MakeEntry(block, header, &extensions, entry).In("entry " + header.name);
  }
}

Outcome TarReader::ReadText(const TarHeader& header, std::string* text) {
  const uint64_t size = static_cast<uint64_t>(header.size);
  if (size > kMaxPaxBytes) return Outcome::BadLayer("extended header larger than 1 MiB");
  text->clear();
  while (text->size() < size) {  // grows with the bytes that came, not with the declared size
    std::string_view piece;
    OUTCOME_TRY(bytes_.Piece(size - text->size(), &piece));
    if (piece.empty()) return Outcome::BadLayer("the archive is truncated");
    text->append(piece);
  }
  return bytes_.Skip(PaddingOf(size));
}

Outcome TarReader::ReadExtension(const TarHeader& header, Extensions* extensions,
                                 bool* is_extension) {
  std::string text;
  *is_extension = true;
  switch (header.type) {
    case 'x':
      OUTCOME_TRY(ReadText(header, &text));
      return ParsePax(text, &extensions->pax);
    case 'g': {  // of the whole archive (git writes a comment): checked, and means nothing to us
      PaxRecords ignored;
      OUTCOME_TRY(ReadText(header, &text));
      return ParsePax(text, &ignored);
    }
    case 'L':
    case 'K': {
      OUTCOME_TRY(ReadText(header, &text));
      text.resize(std::min(text.find('\0'), text.size()));
      (header.type == 'L' ? extensions->long_name : extensions->long_link) = text;
      return {};
    }
    case 'V':  // volume label
      return bytes_.Skip(static_cast<uint64_t>(header.size) +
                         PaddingOf(static_cast<uint64_t>(header.size)));
    default:
      *is_extension = false;
      return {};
  }
}

Outcome TarReader::MakeEntry(const char* block, const TarHeader& raw, Extensions* extensions,
                             TarEntry* entry) {
  TarHeader header = raw;
  ApplyNames(extensions->pax, extensions->long_name, extensions->long_link, &header);
  ApplyNumbers(extensions->pax, &header);
  OUTCOME_TRY(CheckHeaderNumbers(header));
  OUTCOME_TRY(CheckText("path", header.name));
  OUTCOME_TRY(CheckText("link target", header.link));
  *entry = TarEntry();
  OUTCOME_TRY(TypeOf(header, &entry->type));
  entry->path = header.name;
  entry->link = header.link;
  entry->mode = static_cast<mode_t>(header.mode & 07777);
  entry->uid = static_cast<uid_t>(header.uid);
  entry->gid = static_cast<gid_t>(header.gid);
  entry->mtime = std::clamp<int64_t>(header.mtime, 0, kMaxTime);
  entry->mtime_nanos = entry->mtime == header.mtime ? extensions->pax.mtime_nanos : 0;
  entry->xattrs = std::move(extensions->pax.xattrs);
  // Only files carry data; some writers leave the target's size in a hard link.
  const bool has_data = entry->type == TarEntry::Type::kFile;
  if (!has_data && entry->type == TarEntry::Type::kDirectory && header.size != 0) {
    return Outcome::BadLayer("directory with data");
  }
  entry->size = has_data ? static_cast<uint64_t>(header.size) : 0;
  entry->real_size = entry->size;
  data_left_ = entry->size;
  padding_ = PaddingOf(entry->size);
  return has_data ? ReadSparse(block, raw.type, extensions, entry) : Outcome();
}

Outcome TarReader::Data(std::string_view* piece) {
  *piece = {};
  if (data_left_ == 0) return {};
  OUTCOME_TRY(bytes_.Piece(data_left_, piece));
  if (piece->empty()) return Outcome::BadLayer("the archive is truncated");
  data_left_ -= piece->size();
  return {};
}

Outcome TarReader::Drain() {
  OUTCOME_TRY(FinishData());
  for (uint64_t extra = 0;;) {
    std::string_view piece;
    OUTCOME_TRY(bytes_.Piece(kMaxTrailer, &piece));
    if (piece.empty()) return {};
    extra += piece.size();
    if (extra > kMaxTrailer) return Outcome::BadLayer("more than 16 MiB after the end marker");
  }
}

}  // namespace crisp::image
