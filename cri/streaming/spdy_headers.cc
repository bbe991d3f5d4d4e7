#include "cri/streaming/spdy_headers.h"

#include <zlib.h>

#include "cri/streaming/spdy_dictionary.h"

namespace crisp::streaming {
namespace {

Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("read SPDY header block: ", why));
}

Bytef* In(absl::string_view bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
}

bool TakeNumber(absl::string_view* bytes, uint32_t* number) {
  if (bytes->size() < 4) return false;
  *number = 0;
  for (int i = 0; i < 4; i++) *number = *number << 8 | static_cast<unsigned char>((*bytes)[i]);
  bytes->remove_prefix(4);
  return true;
}

bool TakeText(absl::string_view* bytes, std::string* text) {
  uint32_t length;
  if (!TakeNumber(bytes, &length) || length > bytes->size()) return false;
  *text = std::string(bytes->substr(0, length));
  bytes->remove_prefix(length);
  return true;
}

}  // namespace

HeaderInflater::HeaderInflater() = default;

HeaderInflater::~HeaderInflater() {
  if (zlib_ != nullptr) inflateEnd(zlib_.get());
}

Status HeaderInflater::Expand(absl::string_view block, std::string* plain) {
  if (zlib_ == nullptr) {  // a WebSocket client never costs these 40 KiB
    zlib_ = std::make_unique<z_stream>();
    if (inflateInit(zlib_.get()) != Z_OK) {
      zlib_ = nullptr;
      return absl::ResourceExhaustedError("read SPDY header block: no memory");
    }
  }
  zlib_->next_in = In(block);
  zlib_->avail_in = static_cast<uInt>(block.size());
  char buffer[4096];
  for (;;) {
    zlib_->next_out = reinterpret_cast<Bytef*>(buffer);
    zlib_->avail_out = sizeof(buffer);
    int result = inflate(zlib_.get(), Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      const std::string& words = SpdyDictionary();
      if (inflateSetDictionary(zlib_.get(), In(words), static_cast<uInt>(words.size())) != Z_OK)
        return Bad("another dictionary than SPDY/3's");
      continue;
    }
    plain->append(buffer, sizeof(buffer) - zlib_->avail_out);
    if (plain->size() > kMaxHeaderBlock) return Bad("larger than 16 KiB");
    if (result == Z_BUF_ERROR && zlib_->avail_in == 0) return absl::OkStatus();
    if (result != Z_OK) return Bad("not deflated");
    if (zlib_->avail_in == 0 && zlib_->avail_out != 0) return absl::OkStatus();
  }
}

StatusOr<HeaderList> HeaderInflater::Inflate(absl::string_view block) {
  std::string plain;
  RETURN_IF_ERROR(Expand(block, &plain));
  return ParseHeaderBlock(plain);
}

StatusOr<HeaderList> ParseHeaderBlock(absl::string_view plain) {
  uint32_t count;
  if (!TakeNumber(&plain, &count)) return Bad("cut short");
  if (count > kMaxHeaders) return Bad("more than 64 headers");
  HeaderList headers;
  for (uint32_t i = 0; i < count; i++) {
    auto& [name, value] = headers.emplace_back();
    if (!TakeText(&plain, &name) || !TakeText(&plain, &value)) return Bad("cut short");
    if (name.empty()) return Bad("a header without a name");
  }
  if (!plain.empty()) return Bad("bytes after the last header");
  return headers;
}

HeaderDeflater::HeaderDeflater() = default;

HeaderDeflater::~HeaderDeflater() {
  if (zlib_ != nullptr) deflateEnd(zlib_.get());
}

std::string HeaderDeflater::Deflate(absl::string_view plain) {
  if (zlib_ == nullptr) {
    const std::string& words = SpdyDictionary();
    zlib_ = std::make_unique<z_stream>();
    if (deflateInit2(zlib_.get(), 1, Z_DEFLATED, /*windowBits=*/11, /*memLevel=*/1,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(zlib_.get(), In(words), static_cast<uInt>(words.size())) != Z_OK) {
      zlib_ = nullptr;
      return "";
    }
  }
  std::string out;
  char buffer[512];
  zlib_->next_in = In(plain);
  zlib_->avail_in = static_cast<uInt>(plain.size());
  do {
    zlib_->next_out = reinterpret_cast<Bytef*>(buffer);
    zlib_->avail_out = sizeof(buffer);
    deflate(zlib_.get(), Z_SYNC_FLUSH);
    out.append(buffer, sizeof(buffer) - zlib_->avail_out);
  } while (zlib_->avail_out == 0);
  return out;
}

}  // namespace crisp::streaming
