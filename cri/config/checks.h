// Rules for single values. Each returns why the text is no good, "" if it is.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace crisp {

std::string CheckPath(absl::string_view text);    // absolute, no "..", no control characters
std::string CheckSocket(absl::string_view text);  // a path of at most 107 bytes
std::string CheckAddress(absl::string_view text);
std::string CheckStreamAddress(absl::string_view text);  // port 0 is any
std::string CheckOnDisconnect(absl::string_view text);
std::string CheckLogLevel(absl::string_view text);
std::string CheckCgroupDriver(absl::string_view text);
std::string CheckHandlerName(absl::string_view text);  // of a RuntimeClass: a DNS label
std::string CheckHandlerSeccomp(absl::string_view text);
std::string CheckWord(absl::string_view text);  // printable, no spaces
std::string CheckSubnet(absl::string_view text);
std::string CheckInterface(absl::string_view text);
std::string CheckUrl(absl::string_view text);

}  // namespace crisp
