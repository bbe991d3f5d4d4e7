#include "imageservice/oci_layout.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "imageservice/content/digest.h"
#include "runtime/base/files.h"
#include "runtime/sys/retry.h"

namespace crisp::image {
namespace {

constexpr size_t kReadSize = 256 << 10;
constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";

}  // namespace

StatusOr<std::unique_ptr<OciLayout>> OciLayout::Open(const std::string& directory) {
  auto layout = std::make_unique<OciLayout>();
  ASSIGN_OR_RETURN(layout->directory_, OpenDir(directory));
  return layout;
}

StatusOr<std::string> OciLayout::RootDigest() {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFileAt(directory_.get(), "index.json", kMaxManifestBytes));
  ASSIGN_OR_RETURN(const ManifestDocument index, ParseManifest(text, kOciIndex));
  ASSIGN_OR_RETURN(const Descriptor chosen, ChoosePlatform(index.entries));
  root_type_ = chosen.media_type;
  return chosen.digest;
}

// A digest is checked hex, so this path cannot leave the layout.
StatusOr<UniqueFd> OciLayout::OpenBlob(const std::string& digest) {
  if (!IsDigest(digest)) return InvalidField("digest", digest, "malformed");
  const std::string path = absl::StrCat("blobs/sha256/", HexOf(digest));
  UniqueFd fd(openat(directory_.get(), path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", path);
  return fd;
}

StatusOr<FetchedDocument> OciLayout::Manifest(const std::string& digest) {
  if (!IsDigest(digest)) return InvalidField("digest", digest, "malformed");
  FetchedDocument document;
  ASSIGN_OR_RETURN(document.text,
                   ReadFileAt(directory_.get(), absl::StrCat("blobs/sha256/", HexOf(digest)),
                              kMaxManifestBytes));
  document.content_type = root_type_;
  return document;
}

Status OciLayout::Stream(const Descriptor& blob, const ByteSink& sink) {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenBlob(blob.digest));
  std::vector<char> buffer(kReadSize);
  for (uint64_t left = blob.size; left > 0;) {
    const size_t want = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    const ssize_t n = sys::Retry([&] { return read(fd.get(), buffer.data(), want); });
    if (n < 0) return ErrnoStatus(errno, "read blob ", blob.digest);
    if (n == 0) return absl::OkStatus();  // too short: the digest tells
    RETURN_IF_ERROR(sink(absl::string_view(buffer.data(), static_cast<size_t>(n))));
    left -= static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace crisp::image
