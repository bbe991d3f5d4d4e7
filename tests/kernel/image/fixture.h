// Builders for image tests: tars with full control over every header, OCI layouts around them, and
// a store in a directory of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "imageservice/image_service.h"

namespace crisp::image {

// A tar in memory. Names and links are written as given, however hostile.
class TarBuilder {
 public:
  struct Options {
    char type = '0';
    std::string link;
    uint32_t mode = 0644, uid = 0, gid = 0;
    int64_t mtime = 1700000000;
    std::string data;
    int64_t declared_size = -1;  // other than data's
    bool bad_checksum = false;
    std::vector<std::pair<std::string, std::string>> pax;  // an extended header before it
  };
  TarBuilder& Add(const std::string& name, const Options& options);
  TarBuilder& File(const std::string& name, const std::string& data);
  TarBuilder& Dir(const std::string& name, uint32_t mode = 0755);
  TarBuilder& Symlink(const std::string& name, const std::string& target);
  TarBuilder& HardLink(const std::string& name, const std::string& target);
  TarBuilder& Raw(const std::string& bytes);
  // With the two zero blocks.
  std::string End() const;

  static std::string Pad(const std::string& data);
  static std::string Header(const std::string& name, const Options& options, uint64_t size);
  static std::string Pax(const std::vector<std::pair<std::string, std::string>>& records);

 private:
  std::string bytes_;
};

std::string Gzip(const std::string& data);
std::string Zstd(const std::string& data);

struct TestLayer {
  std::string tar;
  std::string compression = "gzip";  // "gzip", "zstd", "none"
};

// The bytes of an image, for a layout or a registry.
struct TestImage {
  std::string config, manifest;
  std::vector<std::string> blobs;  // compressed layers
};
TestImage MakeImage(const std::vector<TestLayer>& layers, const std::string& process_json = "{}",
                    bool docker_types = false);

// Writes an OCI layout; `change` may damage the image between digests and disk.
void WriteLayout(const std::string& directory, const TestImage& image);

// A temporary directory, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  std::string Sub(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

ImageOptions OptionsFor(const std::string& root);
std::unique_ptr<ImageService> OpenService(const std::string& root);

void WriteText(const std::string& path, const std::string& text);
std::string ReadText(const std::string& path);  // "<absent>" if it cannot be read
bool Exists(const std::string& path);

}  // namespace crisp::image
