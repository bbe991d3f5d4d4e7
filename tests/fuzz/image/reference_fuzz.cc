// Image references, URLs, Location and WWW-Authenticate headers.
#include <cstdint>
#include <string>

#include "imageservice/reference.h"
#include "imageservice/registry/auth.h"
#include "imageservice/registry/challenge.h"
#include "imageservice/registry/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::image;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto reference = ParseReference(text);
  if (reference.ok()) {  // what we print must mean the same again
    const auto again = ParseReference(reference->Text());
    if (!again.ok() || again->Text() != reference->Text()) __builtin_trap();
  }
  const Url base = *ParseUrl("https://registry.example.com/v2/a");
  const auto url = ResolveUrl(base, text);
  if (url.ok()) {
    if (url->scheme != "http" && url->scheme != "https") __builtin_trap();
    if (url->Text().find_first_of("\r\n\0 ") != std::string::npos) __builtin_trap();
    const auto again = ParseUrl(url->Text());
    if (!again.ok() || again->Text() != url->Text()) __builtin_trap();
    RealmMayHaveCredentials(base, *url);
  }
  ParseChallenges(text);
  return 0;
}
