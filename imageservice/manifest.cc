#include "imageservice/manifest.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "imageservice/content/digest.h"
#include "runtime/base/json.h"

namespace crisp::image {
namespace {

constexpr char kOciManifest[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kOciIndex[] = "application/vnd.oci.image.index.v1+json";
constexpr char kDockerManifest[] = "application/vnd.docker.distribution.manifest.v2+json";
constexpr char kDockerList[] = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr char kOciConfig[] = "application/vnd.oci.image.config.v1+json";
constexpr char kDockerConfig[] = "application/vnd.docker.container.image.v1+json";

#if defined(__x86_64__)
constexpr char kArchitecture[] = "amd64";
#elif defined(__aarch64__)
constexpr char kArchitecture[] = "arm64";
#endif

bool IsManifestType(absl::string_view type) {
  return type == kOciManifest || type == kDockerManifest;
}
bool IsIndexType(absl::string_view type) { return type == kOciIndex || type == kDockerList; }

Status Bad(absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("image manifest: ", reason));
}

StatusOr<Descriptor> ParseDescriptor(const Json& json, absl::string_view what) {
  Descriptor descriptor;
  if (!json.is_object()) return Bad(absl::StrCat(what, " is not an object"));
  descriptor.media_type = JsonString(json, "mediaType");
  descriptor.digest = JsonString(json, "digest");
  if (!IsDigest(descriptor.digest)) {
    return InvalidField(absl::StrCat("image manifest: ", what, ".digest"), descriptor.digest,
                        "not sha256:<64 hex digits>");
  }
  const auto size = json.find("size");
  if (size == json.end() || !size->is_number_unsigned() ||
      size->get<uint64_t>() > (uint64_t{1} << 46)) {
    return Bad(absl::StrCat(what, ".size is missing or out of range"));
  }
  descriptor.size = size->get<uint64_t>();
  return descriptor;
}

StatusOr<IndexEntry> ParseIndexEntry(const Json& json) {
  IndexEntry entry;
  ASSIGN_OR_RETURN(entry.descriptor, ParseDescriptor(json, "manifests[]"));
  const auto platform = json.find("platform");
  if (platform != json.end() && platform->is_object()) {
    entry.has_platform = true;
    entry.os = JsonString(*platform, "os");
    entry.architecture = JsonString(*platform, "architecture");
    entry.variant = JsonString(*platform, "variant");
  }
  return entry;
}

StatusOr<ManifestDocument> ParseIndex(const Json& json) {
  ManifestDocument document;
  document.is_index = true;
  const auto manifests = json.find("manifests");
  if (manifests == json.end() || !manifests->is_array()) return Bad("an index without manifests");
  if (manifests->size() > kMaxIndexEntries) return Bad("more than 1024 entries in an index");
  for (const Json& item : *manifests) {
    ASSIGN_OR_RETURN(IndexEntry entry, ParseIndexEntry(item));
    document.entries.push_back(std::move(entry));
  }
  return document;
}

StatusOr<ManifestDocument> ParseSingle(const Json& json) {
  ManifestDocument document;
  const auto config = json.find("config");
  const auto layers = json.find("layers");
  if (config == json.end() || layers == json.end() || !layers->is_array()) {
    return Bad("a manifest without config or layers");
  }
  ASSIGN_OR_RETURN(document.config, ParseDescriptor(*config, "config"));
  const std::string& type = document.config.media_type;
  if (type != kOciConfig && type != kDockerConfig) {
    return InvalidField("image manifest: config.mediaType", type, "not a container image");
  }
  if (document.config.size > kMaxConfigBytes) return Bad("config larger than 8 MiB");
  if (layers->empty()) return Bad("no layers");
  if (layers->size() > kMaxLayers) return Bad("more than 500 layers");
  for (const Json& item : *layers) {
    ASSIGN_OR_RETURN(Descriptor layer, ParseDescriptor(item, "layers[]"));
    RETURN_IF_ERROR(CompressionOf(layer.media_type).status());
    document.layers.push_back(std::move(layer));
  }
  return document;
}

// The same bytes must not be an index to one reader and a manifest to another (CVE-2021-41190).
StatusOr<std::string> AgreedType(const Json& json, absl::string_view content_type) {
  const std::string own = JsonString(json, "mediaType");
  const std::string said(absl::StripAsciiWhitespace(
      absl::string_view(content_type).substr(0, content_type.find(';'))));
  const bool known = IsManifestType(said) || IsIndexType(said);
  if (known && !own.empty() && own != said) {
    return Bad(absl::StrCat("mediaType ", own, " but Content-Type ", said));
  }
  const std::string type = known ? said : own;
  if (!IsManifestType(type) && !IsIndexType(type)) {
    return InvalidField("image manifest: mediaType", type.empty() ? said : type, "unsupported");
  }
  const bool both =
      json.contains("manifests") && (json.contains("layers") || json.contains("config"));
  if (both || json.contains("fsLayers")) return Bad("ambiguous: index and manifest in one");
  return type;
}

}  // namespace

std::string AcceptedManifestTypes() {
  return absl::StrJoin({kOciIndex, kDockerList, kOciManifest, kDockerManifest}, ", ");
}

StatusOr<ManifestDocument> ParseManifest(absl::string_view text, absl::string_view content_type) {
  JsonLimits limits;
  limits.bytes = kMaxManifestBytes;
  auto json = ParseJson(text, limits);
  if (!json.ok()) return Annotate(json.status(), "image manifest");
  if (!json->is_object()) return Bad("not an object");
  const auto version = json->find("schemaVersion");
  if (version == json->end() || !version->is_number_integer() || *version != 2) {
    return Bad("schemaVersion is not 2");
  }
  ASSIGN_OR_RETURN(const std::string type, AgreedType(*json, content_type));
  return IsIndexType(type) ? ParseIndex(*json) : ParseSingle(*json);
}

StatusOr<Descriptor> ChoosePlatform(const std::vector<IndexEntry>& entries) {
  std::vector<std::string> offered;
  for (const IndexEntry& entry : entries) {
    const std::string& type = entry.descriptor.media_type;
    if (!IsManifestType(type) && !IsIndexType(type)) continue;
    // An entry without a platform is meant for every machine only if it is alone.
    if (!entry.has_platform && entries.size() == 1) return entry.descriptor;
    const bool plain = entry.variant.empty() || entry.variant == "v1" ||
                       (entry.architecture == "arm64" && entry.variant == "v8");
    if (entry.os == "linux" && entry.architecture == kArchitecture && plain) {
      return entry.descriptor;
    }
    if (offered.size() < 16) {
      offered.push_back(absl::StrCat(entry.os, "/", entry.architecture,
                                     entry.variant.empty() ? "" : "/", entry.variant));
    }
  }
  return absl::NotFoundError(absl::StrCat("no manifest for linux/", kArchitecture,
                                          " in the index; it has: ", absl::StrJoin(offered, ", ")));
}

StatusOr<std::string> CompressionOf(absl::string_view media_type) {
  absl::string_view rest = media_type;
  if (absl::ConsumePrefix(&rest, "application/vnd.oci.image.layer.v1.tar")) {
    if (rest.empty()) return std::string("none");
    if (rest == "+gzip") return std::string("gzip");
    if (rest == "+zstd") return std::string("zstd");
  } else if (absl::ConsumePrefix(&rest, "application/vnd.docker.image.rootfs.diff.tar")) {
    if (rest.empty()) return std::string("none");
    if (rest == ".gzip") return std::string("gzip");
    if (rest == ".zstd") return std::string("zstd");
  }
  return InvalidField("image manifest: layers[].mediaType", media_type,
                      "only tar layers with gzip, zstd or no compression");
}

}  // namespace crisp::image
