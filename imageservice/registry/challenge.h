// WWW-Authenticate: "Bearer realm=...,service=...", "Basic realm=...", several in one header too.
// Source: RFC 9110 section 11.6.1, distribution token spec.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace crisp::image {

struct Challenge {
  std::string scheme;                         // lower case
  std::map<std::string, std::string> params;  // names in lower case
};

// Hostile input: what cannot be parsed ends the list; at most 8 challenges of 16 parameters.
std::vector<Challenge> ParseChallenges(absl::string_view header);

}  // namespace crisp::image
