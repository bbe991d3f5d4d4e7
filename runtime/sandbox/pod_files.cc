// Text of the three files that every container of a pod gets below /etc.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "runtime/sandbox/pod_sandbox.h"

namespace crisp::runtime {
namespace {

// Far above what the kubelet sends (3 servers, 32 searches of 2048 bytes); below the file's tmpfs.
constexpr size_t kMaxValues = 64, kMaxValue = 1024, kMaxText = 32 << 10;

Status CheckValues(const char* field, const std::vector<std::string>& values) {
  if (values.size() > kMaxValues) {
    return InvalidField(field, absl::StrCat(values.size(), " values"), "at most 64 are allowed");
  }
  for (const std::string& value : values) {
    if (value.empty() || value.size() > kMaxValue) {
      return InvalidField(field, value, "must have 1 to 1024 bytes");
    }
    // A space or newline would begin another value or line.
    if (!std::all_of(value.begin(), value.end(), [](char c) { return absl::ascii_isgraph(c); })) {
      return InvalidField(field, value, "must be one printable word");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::string> MakeResolvConf(const std::vector<std::string>& servers,
                                     const std::vector<std::string>& searches,
                                     const std::vector<std::string>& options) {
  RETURN_IF_ERROR(CheckValues("dns_config.servers", servers));
  RETURN_IF_ERROR(CheckValues("dns_config.searches", searches));
  RETURN_IF_ERROR(CheckValues("dns_config.options", options));
  std::string text;
  if (!searches.empty()) absl::StrAppend(&text, "search ", absl::StrJoin(searches, " "), "\n");
  for (const std::string& server : servers) absl::StrAppend(&text, "nameserver ", server, "\n");
  if (!options.empty()) absl::StrAppend(&text, "options ", absl::StrJoin(options, " "), "\n");
  if (text.size() > kMaxText) {
    return InvalidField("dns_config", absl::StrCat(text.size(), " bytes"), "too long");
  }
  return text;
}

std::string MakeHostsFile(const std::vector<std::string>& ips, const std::string& hostname) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "fe00::\tip6-localnet\n"
      "ff00::\tip6-mcastprefix\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  for (const std::string& ip : ips) absl::StrAppend(&text, ip, "\t", hostname, "\n");
  return text;
}

}  // namespace crisp::runtime
