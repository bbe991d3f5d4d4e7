// Manifests, indexes, image configs and our own records. The first byte chooses the claimed type.
#include <cstdint>
#include <string>

#include "imageservice/image_record.h"
#include "imageservice/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::image;
  if (size == 0) return 0;
  const char* const types[] = {"", "application/vnd.oci.image.index.v1+json",
                               "application/vnd.oci.image.manifest.v1+json",
                               "application/vnd.docker.distribution.manifest.v2+json"};
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto document = ParseManifest(text, types[data[0] % 4]);
  if (document.ok() && document->is_index) ChoosePlatform(document->entries).status().IgnoreError();
  const auto config = ParseImageConfig(text);
  if (config.ok()) ChainIds(config->diff_ids);
  const auto record = DecodeRecord(text);
  if (record.ok() && EncodeRecord(*record).empty()) __builtin_trap();
  return 0;
}
