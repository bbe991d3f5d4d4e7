#include "imageservice/layers/decompress.h"

#include <zstd.h>

#include <algorithm>

namespace crisp::image {
namespace {

constexpr size_t kOutSize = 256 << 10;
constexpr int kMaxWindowLog = 26;  // 64 MiB; zstd's own levels up to 19 need 8 MiB

class IdentityDecoder : public Decoder {
 public:
  Outcome Decode(std::string_view* in, char* out, size_t capacity, size_t* produced) override {
    *produced = std::min(capacity, in->size());
    std::copy_n(in->data(), *produced, out);
    in->remove_prefix(*produced);
    return {};
  }
  bool AtEnd() const override { return true; }
};

class ZstdDecoder : public Decoder {
 public:
  ZstdDecoder() : stream_(ZSTD_createDStream()) {
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;

  Outcome Decode(std::string_view* in, char* out, size_t capacity, size_t* produced) override {
    ZSTD_inBuffer input{in->data(), in->size(), 0};
    ZSTD_outBuffer output{out, capacity, 0};
    const size_t left = ZSTD_decompressStream(stream_, &output, &input);
    if (ZSTD_isError(left)) {
      return Outcome::BadLayer(std::string("zstd: ") + ZSTD_getErrorName(left));
    }
    // 0: a frame is complete, and what follows is another one.
    at_end_ = left == 0 || (at_end_ && input.pos == 0);
    in->remove_prefix(input.pos);
    *produced = output.pos;
    return {};
  }
  bool AtEnd() const override { return at_end_; }

 private:
  ZSTD_DStream* stream_;
  bool at_end_ = true;
};

}  // namespace

std::unique_ptr<Decoder> MakeDecoder(std::string_view name) {
  if (name == "gzip") return MakeGzipDecoder();
  if (name == "zstd") return std::make_unique<ZstdDecoder>();
  if (name == "none") return std::make_unique<IdentityDecoder>();
  return nullptr;
}

DecompressedSource::DecompressedSource(ByteSource* compressed, Decoder* decoder)
    : compressed_(compressed), decoder_(decoder), out_(new char[kOutSize]) {}

Outcome DecompressedSource::Next(std::string_view* piece) {
  *piece = {};
  for (;;) {
    if (in_.empty() && !input_ended_) {
      OUTCOME_TRY(compressed_->Next(&in_));
      input_ended_ = in_.empty();
    }
    const size_t before = in_.size();
    size_t produced = 0;
    OUTCOME_TRY(decoder_->Decode(&in_, out_.get(), kOutSize, &produced));
    if (produced > 0) {
      *piece = {out_.get(), produced};
      return {};
    }
    if (in_.size() != before) continue;
    // Neither a byte in nor a byte out: the end, or a decoder that would spin for ever.
    if (!input_ended_ && in_.empty()) continue;
    if (input_ended_ && decoder_->AtEnd()) return {};
    return Outcome::BadLayer(input_ended_ ? "the compressed data is truncated"
                                          : "the compressed data makes no progress");
  }
}

}  // namespace crisp::image
