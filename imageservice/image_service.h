// Images: pulled from registries, verified while streaming, unpacked layer by layer in confined
// processes, kept durably. Never mounts, never runs anything of an image. Source: OCI
// distribution 1.1, OCI image 1.1, Docker schema 2.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp::image {

struct RegistryHost {    // configuration of one registry host ("127.0.0.1:5000", "docker.io")
  std::string endpoint;  // "https://mirror:443"; empty = https://<host>, http:// for loopback hosts
  bool plain_http = false;
  bool skip_verify = false;
  std::string ca_file;
};

struct ImageOptions {
  std::string root;      // <root>/images: content/, layers/ (0711, chattr +T), records/
  std::string unpacker;  // path of the one-shot unpacker program (or crispd's own re-exec name)
  std::map<std::string, RegistryHost> registries;  // by host
  int max_parallel_layers = 3;
  bool keep_blobs = false;  // compressed layers are discarded after the unpack
};

struct Auth {  // secrets: never logged, wiped after use
  std::string username, password, identity_token, registry_token, server_address;
};

struct ImageConfig {  // the part of the OCI config that a container starts from; hostile, bounded
  std::vector<std::string> env, entrypoint, cmd;
  std::string user, working_dir, stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
};

struct ImageInfo {
  std::string id;                         // "sha256:<64hex>" of the config
  std::vector<std::string> repo_tags;     // "docker.io/library/busybox:latest"
  std::vector<std::string> repo_digests;  // "docker.io/library/busybox@sha256:..."
  uint64_t size = 0;                      // sum of compressed layer sizes + config, > 0
  bool pinned = false;
  ImageConfig config;
  std::string config_json;             // for verbose status
  std::vector<std::string> chain_ids;  // bottom to top
};

// Pins the image's layers while it lives; RemoveImage leaves pinned layers to the last handle.
struct ImageHandle {
  ImageInfo info;
  std::vector<std::string> lower_dirs;  // absolute, top layer first
  std::shared_ptr<void> pin;
};

struct PullProgress {
  std::string reference;
  uint64_t bytes_done = 0, bytes_total = 0;
  int layers_done = 0, layers_total = 0;
  int64_t started_nanos = 0;
};

struct FsUsage {
  std::string mountpoint;
  uint64_t used_bytes = 0, inodes_used = 0;
  int64_t timestamp_nanos = 0;
};

class ImageService {
 public:
  virtual ~ImageService() = default;
  // Loads the records. Half-made layers of an unclean stop stay until DropUnused.
  static StatusOr<std::unique_ptr<ImageService>> Open(const ImageOptions& options);

  // Returns the image id. Concurrent pulls of one reference share one download. `cancelled` is
  // polled. Errors: "RegistryUnavailable: ..." as message prefix when no endpoint answers;
  // UNAUTHENTICATED; NOT_FOUND; INVALID_ARGUMENT for a bad reference or bytes that do not match
  // their digest.
  virtual StatusOr<std::string> Pull(const std::string& reference, const Auth& auth,
                                     const std::function<bool()>& cancelled) = 0;
  // By tag, tag@digest, repo@digest, id, "sha256:" id or unambiguous id prefix; familiar names are
  // completed
  // ("busybox" = docker.io/library/busybox:latest). nullopt = absent.
  virtual StatusOr<std::optional<ImageInfo>> Find(const std::string& reference) = 0;
  virtual std::vector<ImageInfo> List() = 0;
  // Any reference form removes the image with all its tags; absent = OK.
  virtual Status Remove(const std::string& reference) = 0;
  virtual StatusOr<FsUsage> Usage() = 0;
  // For a container. NOT_FOUND names the image.
  virtual StatusOr<ImageHandle> Acquire(const std::string& reference) = 0;
  // After a restart: pins the layers of a container whose image was removed while it lives, by the
  // `lower_dirs` of its handle. NOT_FOUND: one of them is gone.
  virtual StatusOr<std::shared_ptr<void>> Hold(const std::vector<std::string>& lower_dirs) = 0;
  // Once everybody holds what he uses: layers that no image names and nobody holds are removed.
  virtual Status DropUnused() = 0;
  // An OCI layout directory (index.json, blobs/) under the given tag; `pin` marks it as not
  // collectable.
  virtual StatusOr<std::string> LoadLayout(const std::string& directory, const std::string& tag,
                                           bool pin) = 0;
  virtual std::vector<PullProgress> Pulls() = 0;
};

}  // namespace crisp::image
