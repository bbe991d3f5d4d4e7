#include "spdy_client.h"

#include <zlib.h>

#include "absl/strings/str_cat.h"
#include "cri/streaming/spdy_dictionary.h"

namespace crisp::streaming {
namespace {

uint32_t Read(absl::string_view bytes, size_t at, size_t n) {
  uint32_t number = 0;
  for (size_t i = 0; i < n; i++) number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

}  // namespace

std::string Be32(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

std::string HeaderBlock(const HeaderList& headers) {
  std::string out = Be32(static_cast<uint32_t>(headers.size()));
  for (const auto& [name, value] : headers)
    absl::StrAppend(&out, Be32(static_cast<uint32_t>(name.size())), name,
                    Be32(static_cast<uint32_t>(value.size())), value);
  return out;
}

SpdyClient::SpdyClient() : zlib_(new z_stream()) {
  const std::string& words = SpdyDictionary();
  deflateInit(zlib_, 9);
  deflateSetDictionary(zlib_, reinterpret_cast<const Bytef*>(words.data()),
                       static_cast<uInt>(words.size()));
}

SpdyClient::~SpdyClient() {
  deflateEnd(zlib_);
  delete zlib_;
}

std::string SpdyClient::Deflate(absl::string_view plain) {
  std::string out(plain.size() + 1024, '\0');
  zlib_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  zlib_->avail_in = static_cast<uInt>(plain.size());
  zlib_->next_out = reinterpret_cast<Bytef*>(out.data());
  zlib_->avail_out = static_cast<uInt>(out.size());
  deflate(zlib_, Z_SYNC_FLUSH);
  out.resize(out.size() - zlib_->avail_out);
  return out;
}

std::string SpdyClient::Control(uint16_t type, absl::string_view body, uint8_t flags) {
  return absl::StrCat(Be32(0x80030000u | type),
                      Be32(static_cast<uint32_t>(body.size()) | uint32_t{flags} << 24), body);
}

std::string SpdyClient::Syn(uint32_t id, const HeaderList& headers, uint8_t flags) {
  return SynWithBlock(id, Deflate(HeaderBlock(headers)), flags);
}

std::string SpdyClient::SynWithBlock(uint32_t id, absl::string_view deflated, uint8_t flags) {
  return Control(1, absl::StrCat(Be32(id), Be32(0), absl::string_view("\0\0", 2), deflated), flags);
}

std::string SpdyClient::Data(uint32_t id, absl::string_view bytes, bool fin) {
  return absl::StrCat(Be32(id), Be32(static_cast<uint32_t>(bytes.size()) | (fin ? 1u << 24 : 0)),
                      bytes);
}

std::string TakeFrame(std::string* bytes) {
  if (bytes->size() < 8) return "";
  const size_t length = Read(*bytes, 5, 3);
  if (bytes->size() < 8 + length) return "";
  const std::string head = bytes->substr(0, 8), body = bytes->substr(8, length);
  bytes->erase(0, 8 + length);
  if ((head[0] & 0x80) == 0) {
    const std::string id = absl::StrCat("DATA ", Read(head, 0, 4));
    return absl::StrCat(id, length == 0 ? "" : absl::StrCat(" [", body, "]"),
                        (head[4] & 1) != 0 ? " FIN" : "");
  }
  switch (Read(head, 2, 2)) {
    case 2:
      return absl::StrCat("SYN_REPLY ", Read(body, 0, 4));
    case 3:
      return absl::StrCat("RST ", Read(body, 0, 4), " ", Read(body, 4, 4));
    case 6:
      return absl::StrCat("PING ", Read(body, 0, 4));
    case 7:
      return absl::StrCat("GOAWAY ", Read(body, 0, 4), " ", Read(body, 4, 4));
    default:
      return absl::StrCat("TYPE ", Read(head, 2, 2));
  }
}

std::vector<std::string> Frames(std::string bytes) {
  std::vector<std::string> all;
  for (std::string frame = TakeFrame(&bytes); !frame.empty(); frame = TakeFrame(&bytes))
    all.push_back(frame);
  if (!bytes.empty()) all.push_back(absl::StrCat("and ", bytes.size(), " bytes"));
  return all;
}

}  // namespace crisp::streaming
