// A layer's bytes: decompression, tar reader and extraction into a directory in memory.
// The first byte chooses the compression, the second how the stream is cut into pieces.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "imageservice/layers/decompress.h"
#include "imageservice/layers/extract.h"
#include "imageservice/layers/tar_reader.h"

namespace crisp::image {
namespace {

class MemorySource : public ByteSource {
 public:
  MemorySource(std::string_view bytes, size_t step) : bytes_(bytes), step_(step) {}
  Outcome Next(std::string_view* piece) override {
    *piece = bytes_.substr(0, step_);
    bytes_.remove_prefix(piece->size());
    return {};
  }

 private:
  std::string_view bytes_;
  size_t step_;
};

// Fuzzed bytes seldom grow; a bomb must end here too, for the fuzzer's own sake.
class BoundedSource : public ByteSource {
 public:
  explicit BoundedSource(ByteSource* source) : source_(source) {}
  Outcome Next(std::string_view* piece) override {
    OUTCOME_TRY(source_->Next(piece));
    total_ += piece->size();
    return total_ > (32 << 20) ? Outcome::BadLayer("bomb") : Outcome();
  }

 private:
  ByteSource* source_;
  size_t total_ = 0;
};

struct Root {
  std::string path = "/dev/shm/crisp-tar-fuzz-XXXXXX";
  Root() {
    if (mkdtemp(path.data()) == nullptr) abort();
  }
  ~Root() { std::filesystem::remove_all(path); }
};

void UnpackOnce(ByteSource* plain) {
  static const Root root_directory;
  const std::string& base = root_directory.path;
  static int runs = 0;
  const std::string directory = base + "/" + std::to_string(runs++);
  if (mkdir(directory.c_str(), 0700) != 0) abort();
  const int root = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  TarReader reader(plain);
  Extractor extractor(root, 0);
  Outcome outcome;
  bool end = false;
  for (int entries = 0; outcome.ok() && !end && entries < 200; ++entries) {
    TarEntry entry;
    outcome = reader.Next(&entry, &end);
    if (outcome.ok() && !end) outcome = extractor.Add(entry, &reader);
  }
  if (outcome.ok() && end) outcome = reader.Drain();
  if (outcome.ok() && end) outcome = extractor.Finish();
  close(root);
  std::filesystem::remove_all(directory);
  // Nothing may appear beside the layer's directory.
  if (!std::filesystem::is_empty(base)) abort();
}

}  // namespace
}  // namespace crisp::image

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::image;
  if (size < 2) return 0;
  const char* const kinds[] = {"none", "gzip", "zstd"};
  const size_t step = data[1] == 0 ? size : data[1];
  MemorySource bytes({reinterpret_cast<const char*>(data) + 2, size - 2}, step);
  const auto decoder = MakeDecoder(kinds[data[0] % 3]);
  DecompressedSource plain(&bytes, decoder.get());
  BoundedSource bounded(&plain);
  UnpackOnce(&bounded);
  return 0;
}
