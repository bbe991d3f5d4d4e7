// A sink that writes down what a client did, and takes as much as it is told to.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cri/streaming/protocol.h"

namespace crisp::streaming {

class Recorder : public StreamSink {
 public:
  bool OnOpen(uint32_t id, const HeaderList& headers) override {
    std::string text = absl::StrCat("open ", id);
    for (const auto& [name, value] : headers) absl::StrAppend(&text, " ", name, "=", value);
    events.push_back(text);
    return !refuse;
  }
  size_t OnData(uint32_t id, absl::string_view bytes) override {
    const size_t n = std::min(bytes.size(), room);
    room -= n;
    data[id].append(bytes.data(), n);
    return n;
  }
  void OnEnd(uint32_t id) override { events.push_back(absl::StrCat("end ", id)); }
  void OnReset(uint32_t id) override { events.push_back(absl::StrCat("reset ", id)); }

  std::vector<std::string> events;
  std::map<uint32_t, std::string> data;
  size_t room = SIZE_MAX;
  bool refuse = false;
};

}  // namespace crisp::streaming
