// Manifests, indexes and image configs: hostile JSON made into small checked structs.
// Source: OCI image-spec 1.1, Docker image manifest v2 schema 2.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "imageservice/image_service.h"
#include "runtime/base/status.h"

namespace crisp::image {

inline constexpr size_t kMaxManifestBytes = 4 << 20;
inline constexpr size_t kMaxConfigBytes = 8 << 20;
inline constexpr size_t kMaxIndexEntries = 1024;
inline constexpr size_t kMaxLayers = 500;
inline constexpr int kMaxIndexNesting = 2;

struct Descriptor {
  std::string media_type, digest;
  uint64_t size = 0;
};

struct IndexEntry {
  Descriptor descriptor;
  bool has_platform = false;
  std::string os, architecture, variant;
};

struct ManifestDocument {  // either an index or a manifest, never both
  bool is_index = false;
  std::vector<IndexEntry> entries;
  Descriptor config;
  std::vector<Descriptor> layers;
};

// What a registry is asked for (Accept) and what it may answer.
std::string AcceptedManifestTypes();

// `content_type` is the transport's statement and must agree with the document's own mediaType.
StatusOr<ManifestDocument> ParseManifest(absl::string_view text, absl::string_view content_type);

// The entry for linux on this machine's architecture. NOT_FOUND lists what there is.
StatusOr<Descriptor> ChoosePlatform(const std::vector<IndexEntry>& entries);

// "gzip", "zstd" or "none"; INVALID_ARGUMENT for layers that are no tars or live elsewhere.
StatusOr<std::string> CompressionOf(absl::string_view media_type);

struct ParsedConfig {
  ImageConfig config;
  std::string os, architecture;
  std::vector<std::string> diff_ids;
};
StatusOr<ParsedConfig> ParseImageConfig(absl::string_view text);

// The image must be for this machine: linux and its architecture, or unnamed.
Status CheckPlatform(const ParsedConfig& config);

// OCI chain ids, bottom to top.
std::vector<std::string> ChainIds(const std::vector<std::string>& diff_ids);

}  // namespace crisp::image
