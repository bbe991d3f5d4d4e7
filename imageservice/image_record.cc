#include "imageservice/image_record.h"

#include <nlohmann/json.hpp>

#include "imageservice/content/digest.h"
#include "runtime/base/json.h"

namespace crisp::image {
namespace {

constexpr char kMagic[] = "crisp-image-1 ";
constexpr size_t kHeadSize = sizeof(kMagic) - 1 + 71 + 1;  // magic, digest, newline
constexpr size_t kMaxRecord = 24 << 20;

Status Damaged(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("image record: ", why));
}

bool ReadStrings(const Json& json, const char* key, std::vector<std::string>* out) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return false;
  for (const Json& item : *found) {
    if (!item.is_string()) return false;
    out->push_back(item.get<std::string>());
  }
  return true;
}

}  // namespace

std::string EncodeRecord(const ImageRecord& record) {
  const Json json = {{"id", record.id},
                     {"tags", record.tags},
                     {"digests", record.digests},
                     {"config", record.config_json},
                     {"diffIds", record.diff_ids},
                     {"size", record.size},
                     {"pinned", record.pinned},
                     {"updated", record.updated_nanos}};
  const std::string body = json.dump();
  return absl::StrCat(kMagic, DigestOf(body), "\n", body);
}

StatusOr<ImageRecord> DecodeRecord(const std::string& text) {
  if (text.size() <= kHeadSize || text.compare(0, sizeof(kMagic) - 1, kMagic) != 0 ||
      text[kHeadSize - 1] != '\n') {
    return Damaged("no header");
  }
  const std::string body = text.substr(kHeadSize);
  if (DigestOf(body) != text.substr(sizeof(kMagic) - 1, 71)) return Damaged("checksum");
  JsonLimits limits;
  limits.bytes = kMaxRecord;
  const auto json = ParseJson(body, limits);
  if (!json.ok() || !json->is_object()) return Damaged("not JSON");
  ImageRecord record;
  std::vector<std::string> tags, digests;
  record.id = JsonString(*json, "id");
  record.config_json = JsonString(*json, "config");
  const bool lists = ReadStrings(*json, "tags", &tags) && ReadStrings(*json, "digests", &digests) &&
                     ReadStrings(*json, "diffIds", &record.diff_ids);
  const bool numbers = json->contains("size") && (*json)["size"].is_number_unsigned() &&
                       json->contains("updated") && (*json)["updated"].is_number_integer() &&
                       json->contains("pinned") && (*json)["pinned"].is_boolean();
  if (!lists || !numbers || DigestOf(record.config_json) != record.id) return Damaged("members");
  record.tags.insert(tags.begin(), tags.end());
  record.digests.insert(digests.begin(), digests.end());
  record.size = (*json)["size"].get<uint64_t>();
  record.updated_nanos = (*json)["updated"].get<int64_t>();
  record.pinned = (*json)["pinned"].get<bool>();
  return record;
}

}  // namespace crisp::image
