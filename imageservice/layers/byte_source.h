// A stream of bytes as pieces, and exact reads on top of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "imageservice/layers/outcome.h"

namespace crisp::image {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // The next piece, valid until the following call; an empty piece is the end of the stream.
  virtual Outcome Next(std::string_view* piece) = 0;
};

class ByteReader {
 public:
  explicit ByteReader(ByteSource* source) : source_(source) {}

  // At most `max` bytes without copying; empty = end of stream.
  Outcome Piece(uint64_t max, std::string_view* piece) {
    if (rest_.empty()) OUTCOME_TRY(source_->Next(&rest_));
    *piece = rest_.substr(0, static_cast<size_t>(std::min<uint64_t>(max, rest_.size())));
    rest_.remove_prefix(piece->size());
    position_ += piece->size();
    return {};
  }

  // Fills `out`; *got < size only at the end of the stream.
  Outcome Read(char* out, size_t size, size_t* got) {
    for (*got = 0; *got < size;) {
      std::string_view piece;
      OUTCOME_TRY(Piece(size - *got, &piece));
      if (piece.empty()) return {};
      std::copy(piece.begin(), piece.end(), out + *got);
      *got += piece.size();
    }
    return {};
  }

  Outcome Skip(uint64_t size) {
    while (size > 0) {
      std::string_view piece;
      OUTCOME_TRY(Piece(size, &piece));
      if (piece.empty()) return Outcome::BadLayer("the archive is truncated");
      size -= piece.size();
    }
    return {};
  }

  uint64_t position() const { return position_; }

 private:
  ByteSource* source_;
  std::string_view rest_;
  uint64_t position_ = 0;
};

}  // namespace crisp::image
