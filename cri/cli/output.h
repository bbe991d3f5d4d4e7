// What goes to the terminal. Names and messages come from tenants: control characters never do.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <google/protobuf/message.h>

#include "runtime/base/status.h"

namespace crisp::cli {

void Print(absl::string_view text);  // to stdout

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "12s", "5m", "3h", "2d" since `nanos` (real time); "-" for 0.
std::string Age(int64_t nanos, int64_t now_nanos);
std::string Size(uint64_t bytes);           // "4.3MB"
std::string ShortId(absl::string_view id);  // 13 digits, as crictl; without "sha256:"
// "sha256:0123..." is cut, a name is left as it is.
std::string ShortIdIfDigest(const std::string& image);
std::string Printable(absl::string_view text);

std::string JsonText(const google::protobuf::Message& message);
// {"status": message, "info": {...}}; info values that are JSON stay structured.
std::string InspectText(const google::protobuf::Message& status,
                        const std::map<std::string, std::string>& info);

}  // namespace crisp::cli
