// Every parser of kernel statistics takes any bytes.
#include "runtime/stats/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  using namespace crisp::runtime;
  uint64_t value = 0;
  (void)ParseNumber(text);
  (void)ParseKeyed(text, {{"total_rss", &value}, {"", &value}});
  (void)ParsePsi(text);
  (void)ParseBlkio(text, text.substr(size / 2));
  (void)ParseIoStat(text);
  (void)ParseNetDev(text);
  (void)ParseSocketsUsed(text);
  if (ParsePids(text, 10).size() > 10) __builtin_trap();
  return 0;
}
