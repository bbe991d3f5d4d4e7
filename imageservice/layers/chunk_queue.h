// Plain bytes from the decompressing thread to the unpacking one: a ring of a few fixed buffers.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>

#include "imageservice/layers/byte_source.h"

namespace crisp::image {

class ChunkQueue : public ByteSource {
 public:
  // Copies; waits while all buffers are full. False when the reader is gone.
  bool Push(std::string_view bytes) {
    while (!bytes.empty()) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return abandoned_ || filled_ - taken_ < kChunks; });
      if (abandoned_) return false;
      Chunk& chunk = chunks_[filled_ % kChunks];
      lock.unlock();
      if (!chunk.bytes) chunk.bytes.reset(new char[kChunkSize]);
      chunk.size = std::min(bytes.size(), kChunkSize);
      std::copy_n(bytes.data(), chunk.size, chunk.bytes.get());
      bytes.remove_prefix(chunk.size);
      lock.lock();
      ++filled_;
      changed_.notify_all();
    }
    return true;
  }

  // No more bytes; `good` is false when the writer failed and will tell its own story.
  void Close(bool good) {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
    good_ = good;
    changed_.notify_all();
  }

  // The reader wants no more.
  void Abandon() {
    const std::lock_guard<std::mutex> lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

  // The piece stays valid until the next call.
  Outcome Next(std::string_view* piece) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (holding_) ++taken_;
    holding_ = false;
    changed_.notify_all();
    changed_.wait(lock, [&] { return closed_ || filled_ > taken_; });
    *piece = {};
    if (filled_ > taken_) {
      const Chunk& chunk = chunks_[taken_ % kChunks];
      *piece = {chunk.bytes.get(), chunk.size};
      holding_ = true;
      return {};
    }
    return good_ ? Outcome() : Outcome::BadLayer("the layer ended early");
  }

 private:
  static constexpr size_t kChunks = 8, kChunkSize = 256 << 10;
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  std::mutex mutex_;
  std::condition_variable changed_;
  Chunk chunks_[kChunks];
  size_t filled_ = 0, taken_ = 0;
  bool holding_ = false, closed_ = false, good_ = true, abandoned_ = false;
};

}  // namespace crisp::image
