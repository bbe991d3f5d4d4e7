// What waits to go to the client: a small buffer, and at most one stretch of a pipe that the kernel
// moves into the socket without a copy through us.
#pragma once

#include <string>

#include "runtime/base/status.h"

namespace crisp::streaming {

class Output {
 public:
  explicit Output(int socket) : socket_(socket) {}

  std::string* buffer() { return &buffer_; }
  // `n` bytes of `pipe`, which are in it already, go out after all that is in the buffer now.
  void Splice(int pipe, size_t n);
  // Sends what the socket takes; an error: the client is gone.
  Status Flush();
  bool empty() const { return buffer_.empty() && splice_left_ == 0; }
  bool splicing() const { return splice_left_ != 0; }
  size_t size() const { return buffer_.size() + splice_left_; }
  uint64_t sent() const { return sent_; }

 private:
  StatusOr<bool> Send(size_t limit);
  StatusOr<bool> Move();

  const int socket_;
  std::string buffer_;
  size_t before_splice_ = 0;  // bytes of the buffer that go first
  int pipe_ = -1;
  size_t splice_left_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace crisp::streaming
