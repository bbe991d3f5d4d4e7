// The answers of a streaming list: each item once, many to a message, no message near the kubelet's
// limit of 16 MiB.
#pragma once

#include <string>
#include <vector>

#include "cri/api/services.h"
#include "cri/service/encoded_objects.h"

namespace crisp::cri {

inline constexpr size_t kBatchBytes = 1 << 20;

// `number`: the repeated field of Response. No item: no message, which is an empty list too.
template <typename Response>
Status WriteBatches(int number, std::vector<std::string> items, StreamWriter<Response>& writer) {
  Response batch;
  size_t bytes = 0;
  for (std::string& item : items) {
    if (bytes != 0 && bytes + item.size() > kBatchBytes) {
      if (!writer.Write(batch)) return absl::CancelledError("the client went away");
      batch.Clear();
      bytes = 0;
    }
    bytes += item.size();
    AppendEncoded(&batch, number, std::move(item));
  }
  if (bytes != 0 && !writer.Write(batch)) return absl::CancelledError("the client went away");
  return absl::OkStatus();
}

}  // namespace crisp::cri
