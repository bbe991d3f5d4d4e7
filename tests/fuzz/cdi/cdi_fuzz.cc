// Any text as a CDI specification, in JSON and YAML: an error or edits, never a crash; edits that
// were read come back from the journal's form unchanged.
#include <cstdint>
#include <cstdlib>

#include "cri/cdi/cdi.h"

namespace {

void Check(const crisp::StatusOr<crisp::cri::CdiSpec>& spec) {
  if (!spec.ok()) return;
  for (const auto& [name, edits] : spec->devices) {
    const std::string text = crisp::cri::CdiEditsToJson(edits);
    const auto again = crisp::cri::CdiEditsFromJson(text);
    if (!again.ok() || crisp::cri::CdiEditsToJson(*again) != text) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  Check(crisp::cri::ParseCdiJson(text));
  Check(crisp::cri::ParseCdiYaml(text));
  return 0;
}
