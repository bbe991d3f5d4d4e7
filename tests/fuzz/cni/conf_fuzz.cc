// Configuration lists and plugin results: written by others, parsed by the daemon.
#include <cstddef>
#include <cstdint>

#include "cni/bridge_conf.h"
#include "cni/conf_list.h"
#include "cni/external/result.h"
#include "cni/record.h"

using namespace crisp;
using namespace crisp::cni;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: {
      const StatusOr<ConfList> list = ParseConfList(text, (data[0] & 0x80) != 0);
      if (!list.ok()) break;
      ParseInProcess(*list).status().IgnoreError();
      // What is stored for DEL must be readable again.
      if (!ParseConfList(list->json.dump(), false).ok()) __builtin_trap();
      break;
    }
    case 1: {
      const StatusOr<Json> json = ParseResultJson(text);
      if (json.ok()) ReadResult(*json).status().IgnoreError();
      break;
    }
    case 2:
      DescribePluginError(text);
      if (CleanText(text).size() > 1024) __builtin_trap();
      break;
    default: {
      const StatusOr<Record> record = ParseRecord(text);
      // What is read is written back the same.
      if (record.ok() && !ParseRecord(FormatRecord(*record)).ok()) __builtin_trap();
    }
  }
  return 0;
}
