// Any text as crisp.toml: an error or a Config, never a crash; a Config that was read dumps to a
// text that reads the same.
#include <cstdint>
#include <cstdlib>

#include "cri/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crisp::Config config;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (!crisp::ApplyToml("fuzz", text, &config).ok()) return 0;
  crisp::Config again;
  if (!crisp::ApplyToml("dump", crisp::DumpConfigText(config), &again).ok()) abort();
  if (again.root != config.root || again.network.conf_dirs != config.network.conf_dirs) abort();
  return 0;
}
