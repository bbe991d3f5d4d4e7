// Any bytes as a request: a verdict, and the same one when they arrive in two parts.
#include <cstdint>
#include <cstdlib>

#include "cri/debug/http_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  crisp::HttpRequest request, half;
  const crisp::HttpParse verdict = crisp::ParseHttpRequest(bytes, &request);
  if (verdict == crisp::HttpParse::kComplete && (request.path.empty() || request.path[0] != '/'))
    abort();
  const crisp::HttpParse early = crisp::ParseHttpRequest(bytes.substr(0, size / 2), &half);
  if (early == crisp::HttpParse::kComplete &&
      (verdict != crisp::HttpParse::kComplete || half.path != request.path))
    abort();
  return 0;
}
