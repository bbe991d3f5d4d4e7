#include "fixture.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

constexpr size_t kBlock = 512;

void Put(std::string* block, size_t offset, size_t size, const std::string& text) {
  block->replace(offset, std::min(size, text.size()), text.substr(0, size));
}

std::string Octal(uint64_t value, size_t digits) {
  return absl::StrFormat("%0*o", static_cast<int>(digits), value);
}

}  // namespace

std::string TarBuilder::Pad(const std::string& data) {
  std::string padded = data;
  padded.resize((data.size() + kBlock - 1) / kBlock * kBlock, '\0');
  return padded;
}

std::string TarBuilder::Header(const std::string& name, const Options& options, uint64_t size) {
  std::string block(kBlock, '\0');
  Put(&block, 0, 100, name);
  Put(&block, 100, 8, Octal(options.mode, 7));
  Put(&block, 108, 8, Octal(options.uid & 07777777, 7));
  Put(&block, 116, 8, Octal(options.gid & 07777777, 7));
  Put(&block, 124, 12, Octal(size, 11));
  Put(&block, 136, 12, Octal(static_cast<uint64_t>(options.mtime), 11));
  block[156] = options.type;
  Put(&block, 157, 100, options.link);
  Put(&block, 257, 8,
      std::string("ustar\0"
                  "00",
                  8));
  Put(&block, 148, 8, "        ");
  unsigned sum = options.bad_checksum ? 1 : 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Put(&block, 148, 8, Octal(sum, 6) + std::string("\0 ", 2));
  return block;
}

std::string TarBuilder::Pax(const std::vector<std::pair<std::string, std::string>>& records) {
  std::string text;
  for (const auto& [key, value] : records) {
    const std::string tail = absl::StrCat(" ", key, "=", value, "\n");
    size_t length = tail.size() + 1;
    while (absl::StrCat(length).size() + tail.size() != length) ++length;
    absl::StrAppend(&text, length, tail);
  }
  return text;
}

TarBuilder& TarBuilder::Add(const std::string& name, const Options& options) {
  if (!options.pax.empty()) {
    const std::string text = Pax(options.pax);
    Options extended;
    extended.type = 'x';
    bytes_ += Header("pax", extended, text.size()) + Pad(text);
  }
  const uint64_t size = options.declared_size >= 0 ? static_cast<uint64_t>(options.declared_size)
                                                   : options.data.size();
  bytes_ += Header(name, options, size) + Pad(options.data);
  return *this;
}

TarBuilder& TarBuilder::File(const std::string& name, const std::string& data) {
  Options options;
  options.data = data;
  return Add(name, options);
}

TarBuilder& TarBuilder::Dir(const std::string& name, uint32_t mode) {
  Options options;
  options.type = '5';
  options.mode = mode;
  return Add(name, options);
}

TarBuilder& TarBuilder::Symlink(const std::string& name, const std::string& target) {
  Options options;
  options.type = '2';
  options.link = target;
  options.mode = 0777;
  return Add(name, options);
}

TarBuilder& TarBuilder::HardLink(const std::string& name, const std::string& target) {
  Options options;
  options.type = '1';
  options.link = target;
  return Add(name, options);
}

TarBuilder& TarBuilder::Raw(const std::string& bytes) {
  bytes_ += bytes;
  return *this;
}

std::string TarBuilder::End() const { return bytes_ + std::string(2 * kBlock, '\0'); }

std::string Gzip(const std::string& data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, data.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

TestImage MakeImage(const std::vector<TestLayer>& layers, const std::string& process_json,
                    bool docker_types) {
  TestImage image;
  std::vector<std::string> diff_ids, descriptors;
  for (const TestLayer& layer : layers) {
    std::string blob = layer.tar, suffix;
    if (layer.compression == "gzip") blob = Gzip(layer.tar);
    if (layer.compression == "zstd") blob = Zstd(layer.tar);
    if (layer.compression != "none") suffix = layer.compression;
    std::string type = docker_types ? "application/vnd.docker.image.rootfs.diff.tar"
                                    : "application/vnd.oci.image.layer.v1.tar";
    if (!suffix.empty()) absl::StrAppend(&type, docker_types ? "." : "+", suffix);
    diff_ids.push_back(absl::StrCat("\"", DigestOf(layer.tar), "\""));
    descriptors.push_back(absl::StrCat("{\"mediaType\":\"", type, "\",\"digest\":\"",
                                       DigestOf(blob), "\",\"size\":", blob.size(), "}"));
    image.blobs.push_back(std::move(blob));
  }
  image.config = absl::StrCat(
      "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":", process_json,
      ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", absl::StrJoin(diff_ids, ","), "]}}");
  image.manifest =
      absl::StrCat("{\"schemaVersion\":2,\"mediaType\":\"",
                   docker_types ? "application/vnd.docker.distribution.manifest.v2+json"
                                : "application/vnd.oci.image.manifest.v1+json",
                   "\",\"config\":{\"mediaType\":\"",
                   docker_types ? "application/vnd.docker.container.image.v1+json"
                                : "application/vnd.oci.image.config.v1+json",
                   "\",\"digest\":\"", DigestOf(image.config), "\",\"size\":", image.config.size(),
                   "},\"layers\":[", absl::StrJoin(descriptors, ","), "]}");
  return image;
}

void WriteLayout(const std::string& directory, const TestImage& image) {
  const std::string blobs = directory + "/blobs/sha256/";
  std::filesystem::create_directories(blobs);
  for (const std::string& blob : image.blobs) WriteText(blobs + HexOf(DigestOf(blob)), blob);
  WriteText(blobs + HexOf(DigestOf(image.config)), image.config);
  WriteText(blobs + HexOf(DigestOf(image.manifest)), image.manifest);
  WriteText(directory + "/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
  WriteText(directory + "/index.json",
            absl::StrCat("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
                         "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"",
                         DigestOf(image.manifest), "\",\"size\":", image.manifest.size(), "}]}"));
}

TempDir::TempDir() {
  char name[] = "/tmp/crisp-image-test-XXXXXX";
  path_ = mkdtemp(name);
}

TempDir::~TempDir() { std::filesystem::remove_all(path_); }

ImageOptions OptionsFor(const std::string& root) {
  ImageOptions options;
  options.root = root;
  options.unpacker = CRISP_UNPACK;
  return options;
}

std::unique_ptr<ImageService> OpenService(const std::string& root) {
  auto service = ImageService::Open(OptionsFor(root));
  EXPECT_TRUE(service.ok()) << service.status();
  if (!service.ok()) return nullptr;
  EXPECT_TRUE((*service)->DropUnused().ok());
  return *std::move(service);
}

void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "<absent>";
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

}  // namespace crisp::image
