// gzip by ISA-L. 2.30 is old, so two rules: no progress is an error (decompress.cc), and only the
// diffID decides whether the bytes are right.
#include <isa-l/igzip_lib.h>

#include "imageservice/layers/decompress.h"

namespace crisp::image {
namespace {

class IsalDecoder : public Decoder {
 public:
  IsalDecoder() { Restart(); }

  Outcome Decode(std::string_view* in, char* out, size_t capacity, size_t* produced) override {
    *produced = 0;
    if (state_.block_state == ISAL_BLOCK_FINISH) {
      if (in->empty()) return {};
      Restart();  // another member follows
    }
    if (!in->empty()) started_ = true;
    state_.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(in->data()));
    state_.avail_in = static_cast<uint32_t>(in->size());
    state_.next_out = reinterpret_cast<uint8_t*>(out);
    state_.avail_out = static_cast<uint32_t>(capacity);
    const int result = isal_inflate(&state_);
    if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT && result != ISAL_OUT_OVERFLOW) {
      return Outcome::BadLayer("gzip: bad data (" + std::to_string(result) + ")");
    }
    in->remove_prefix(in->size() - state_.avail_in);
    *produced = capacity - state_.avail_out;
    return {};
  }

  bool AtEnd() const override { return started_ && state_.block_state == ISAL_BLOCK_FINISH; }

 private:
  void Restart() {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
  }
  inflate_state state_;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Decoder> MakeGzipDecoder() { return std::make_unique<IsalDecoder>(); }

}  // namespace crisp::image
