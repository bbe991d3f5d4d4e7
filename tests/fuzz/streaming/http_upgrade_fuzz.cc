// Any bytes as a request's head: a verdict that more bytes do not change, and an answer to every
// complete one.
#include <cstdlib>

#include "cri/streaming/http_upgrade.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::streaming;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  UpgradeHead head, half;
  size_t length = 0, half_length = 0;
  const HeadParse verdict = ParseUpgradeHead(bytes, &head, &length);
  const HeadParse early = ParseUpgradeHead(bytes.substr(0, size / 2), &half, &half_length);
  if (early == HeadParse::kComplete && (verdict != early || length != half_length)) abort();
  if (verdict != HeadParse::kComplete) return 0;
  if (length > size || head.path.empty() || head.path[0] != '/') abort();
  for (const StreamKind kind : {StreamKind::kExec, StreamKind::kPortForward})
    if (Negotiate(head, kind).answer.empty()) abort();
  return 0;
}
