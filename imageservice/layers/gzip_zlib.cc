// gzip by zlib: for architectures without ISA-L.
#include <zlib.h>

#include "imageservice/layers/decompress.h"

namespace crisp::image {
namespace {

constexpr int kGzipOnly = 15 + 16;  // window bits; +16: gzip header and trailer

class ZlibDecoder : public Decoder {
 public:
  ZlibDecoder() { usable_ = inflateInit2(&stream_, kGzipOnly) == Z_OK; }
  ~ZlibDecoder() override { inflateEnd(&stream_); }
  ZlibDecoder(const ZlibDecoder&) = delete;
  ZlibDecoder& operator=(const ZlibDecoder&) = delete;

  Outcome Decode(std::string_view* in, char* out, size_t capacity, size_t* produced) override {
    *produced = 0;
    if (!usable_) return Outcome::System(ENOMEM, "gzip");
    if (at_end_) {
      if (in->empty()) return {};
      inflateReset(&stream_);  // another member follows
      at_end_ = false;
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in->data()));
    stream_.avail_in = static_cast<uInt>(in->size());
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(capacity);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      return Outcome::BadLayer("gzip: bad data (" + std::to_string(result) + ")");
    }
    at_end_ = result == Z_STREAM_END;
    in->remove_prefix(in->size() - stream_.avail_in);
    *produced = capacity - stream_.avail_out;
    return {};
  }

  bool AtEnd() const override { return at_end_; }

 private:
  z_stream stream_{};
  bool usable_ = false, at_end_ = false;
};

}  // namespace

std::unique_ptr<Decoder> MakeGzipDecoder() { return std::make_unique<ZlibDecoder>(); }

}  // namespace crisp::image
