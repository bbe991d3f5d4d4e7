// A log file is written by a tenant's output: any bytes, in one piece or two, print the same.
#include <cstdint>
#include <cstdlib>

#include "cri/cli/cri_log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (bool timestamps : {false, true}) {
    std::string out, err, out2, err2;
    crisp::cli::LogPrinter(timestamps).Feed(bytes, &out, &err);
    crisp::cli::LogPrinter printer(timestamps);
    printer.Feed(bytes.substr(0, size / 2), &out2, &err2);
    printer.Feed(bytes.substr(size / 2), &out2, &err2);
    if (out != out2 || err != err2) abort();
  }
  return 0;
}
