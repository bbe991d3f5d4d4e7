// One image as it is kept on disk: records/<config hex>, a checksum line and JSON.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "imageservice/image_service.h"
#include "runtime/base/status.h"

namespace crisp::image {

struct ImageRecord {
  std::string id;                 // config digest
  std::set<std::string> tags;     // "docker.io/library/busybox:latest"
  std::set<std::string> digests;  // "docker.io/library/busybox@sha256:..."
  std::string config_json;        // exact bytes: its digest is the id
  std::vector<std::string> diff_ids;
  uint64_t size = 0;
  bool pinned = false;
  int64_t updated_nanos = 0;  // a tag named by two records belongs to the later one
};

std::string EncodeRecord(const ImageRecord& record);
// DATA_LOSS for anything but what EncodeRecord wrote.
StatusOr<ImageRecord> DecodeRecord(const std::string& text);

}  // namespace crisp::image
