// What came from the client and is not yet dealt with: it is read again only when that is nothing.
#pragma once

#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "absl/strings/string_view.h"

namespace crisp::streaming {

class Input {
 public:
  static constexpr size_t kSize = 32 << 10;

  absl::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  void Drop(size_t n) { begin_ += n; }

  // Bytes that came with the request's head; fewer than kSize.
  void Put(absl::string_view bytes) {
    std::memcpy(data_.get(), bytes.data(), bytes.size());
    begin_ = 0;
    end_ = bytes.size();
  }
  // As recv, when empty.
  ssize_t Receive(int socket) {
    begin_ = end_ = 0;
    const ssize_t n = recv(socket, data_.get(), kSize, 0);
    if (n > 0) end_ = static_cast<size_t>(n);
    return n;
  }

 private:
  const std::unique_ptr<char[]> data_{new char[kSize]};  // not on a stack, and not set to zero
  size_t begin_ = 0, end_ = 0;
};

}  // namespace crisp::streaming
