#include "imageservice/layers/unpack_pipeline.h"

#include <time.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "imageservice/content/digest.h"
#include "imageservice/layers/chunk_queue.h"
#include "imageservice/layers/decompress.h"
#include "imageservice/layers/extract.h"
#include "imageservice/layers/tar_reader.h"
#include "runtime/sys/retry.h"

namespace crisp::image {
namespace {

constexpr size_t kReadSize = 256 << 10;
constexpr uint64_t kMaxUncompressed = uint64_t{64} << 30;

class FdSource : public ByteSource {
 public:
  explicit FdSource(int fd) : fd_(fd), buffer_(new char[kReadSize]) {}
  Outcome Next(std::string_view* piece) override {
    const ssize_t n = sys::Retry([&] { return read(fd_, buffer_.get(), kReadSize); });
    if (n < 0) return Outcome::System(errno, "read the layer");
    *piece = {buffer_.get(), static_cast<size_t>(n)};
    return {};
  }

 private:
  int fd_;
  std::unique_ptr<char[]> buffer_;
};

// Hashes and counts what passes; more than `limit` is an error at once, not at the end.
class HashedSource : public ByteSource {
 public:
  HashedSource(ByteSource* source, uint64_t limit, std::string what)
      : source_(source), limit_(limit), what_(std::move(what)) {}
  Outcome Next(std::string_view* piece) override {
    OUTCOME_TRY(source_->Next(piece));
    size_ += piece->size();
    if (size_ > limit_) {
      return Outcome::BadLayer(what_ + " is larger than " + std::to_string(limit_) + " bytes");
    }
    hash_.Update(*piece);
    return {};
  }
  uint64_t size() const { return size_; }
  Outcome Check(const std::string& expected) {
    const std::string got = hash_.Digest();
    if (got == expected) return {};
    return Outcome::BadLayer(what_ + ": expected " + expected + ", got " + got);
  }

 private:
  ByteSource* source_;
  uint64_t limit_, size_ = 0;
  std::string what_;
  Sha256 hash_;
};

// Says that the process still gets on: a megabyte of input can be a gigabyte to write.
class BeatingSource : public ByteSource {
 public:
  BeatingSource(ByteSource* source, int alive) : source_(source), alive_(alive) {}
  Outcome Next(std::string_view* piece) override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != last_) {
      last_ = now.tv_sec;
      const ssize_t n = write(alive_, &kHeartbeat, 1);
      if (n < 0 && errno == EPIPE) return Outcome::System(EPIPE, "the daemon is gone");
    }
    return source_->Next(piece);
  }

 private:
  ByteSource* source_;
  int alive_;
  time_t last_ = 0;
};

// First thread: everything up to the plain tar bytes, which go into the queue.
Outcome Produce(const UnpackRequest& request, int input, ChunkQueue* queue) {
  FdSource file(input);
  HashedSource compressed(&file, request.size, "the compressed layer");
  const std::unique_ptr<Decoder> decoder = MakeDecoder(request.compression);
  if (!decoder) return Outcome::BadLayer("unknown compression " + request.compression);
  DecompressedSource plain(&compressed, decoder.get());
  Outcome result;
  for (std::string_view piece; result.ok();) {
    result = plain.Next(&piece);
    if (!result.ok() || piece.empty() || !queue->Push(piece)) break;
  }
  if (!result.ok() && result.err() != 0) return result;
  // A cut or changed blob is reported as such, whatever decoder and tar reader made of it: the
  // rest is read for its digest only.
  for (std::string_view rest = " "; !rest.empty();) OUTCOME_TRY(compressed.Next(&rest));
  if (compressed.size() != request.size) {
    return Outcome::BadLayer(
        "the compressed layer is truncated: " + std::to_string(compressed.size()) + " of " +
        std::to_string(request.size) + " bytes");
  }
  OUTCOME_TRY(compressed.Check(request.digest));
  return result;
}

// Second thread: the tar.
Outcome Consume(const UnpackRequest& request, ChunkQueue* queue, int root, int alive,
                UnpackCounters* counters) {
  BeatingSource beating(queue, alive);
  HashedSource plain(&beating, kMaxUncompressed, "the uncompressed layer (diffID)");
  TarReader reader(&plain);
  Extractor extractor(root, request.reserve);
  for (;;) {
    TarEntry entry;
    bool end = false;
    OUTCOME_TRY(reader.Next(&entry, &end));
    if (end) break;
    OUTCOME_TRY(extractor.Add(entry, &reader));
  }
  OUTCOME_TRY(reader.Drain());
  OUTCOME_TRY(plain.Check(request.diff_id));
  OUTCOME_TRY(extractor.Finish());
  *counters = {reader.entries(), extractor.bytes(), extractor.inodes(), extractor.opaque_root()};
  return {};
}

}  // namespace

Outcome Unpack(const UnpackRequest& request, int input, int root, int alive,
               UnpackCounters* counters) {
  struct Shared {  // outlives this function when the producer is left behind
    UnpackRequest request;
    ChunkQueue queue;
    Outcome produced;
  };
  const auto shared = std::make_shared<Shared>();
  shared->request = request;
  std::thread producer([shared, input] {
    shared->produced = Produce(shared->request, input, &shared->queue);
    shared->queue.Close(shared->produced.ok());
  });
  Outcome consumed = Consume(request, &shared->queue, root, alive, counters);
  if (!consumed.ok() && consumed.err() != 0) {
    producer.detach();  // the machine's fault: no reason to read on; the caller exits
    return consumed;
  }
  shared->queue.Abandon();
  producer.join();
  return shared->produced.ok() ? std::move(consumed) : std::move(shared->produced);
}

}  // namespace crisp::image
