// gzip (also of several members), zstd (also of several frames) or no compression, as a stream.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "imageservice/layers/byte_source.h"

namespace crisp::image {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // Consumes from `in` and writes at most `capacity` bytes to `out`.
  virtual Outcome Decode(std::string_view* in, char* out, size_t capacity, size_t* produced) = 0;
  // True where the compressed stream may end.
  virtual bool AtEnd() const = 0;
};

// "gzip", "zstd" or "none"; null for any other name.
std::unique_ptr<Decoder> MakeDecoder(std::string_view name);
// ISA-L where it exists (amd64: twice as fast), else zlib: gzip_isal.cc or gzip_zlib.cc.
std::unique_ptr<Decoder> MakeGzipDecoder();

class DecompressedSource : public ByteSource {
 public:
  DecompressedSource(ByteSource* compressed, Decoder* decoder);
  Outcome Next(std::string_view* piece) override;

 private:
  ByteSource* compressed_;
  Decoder* decoder_;
  std::string_view in_;
  bool input_ended_ = false;
  std::unique_ptr<char[]> out_;
};

}  // namespace crisp::image
