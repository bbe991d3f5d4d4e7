// Runs one CNI plugin by the protocol of the specification, section 2: parameters in the
// environment, configuration on stdin, result on stdout.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::cni {

inline constexpr size_t kMaxPluginOutput = 1 << 20;
inline constexpr size_t kMaxPluginErrors = 4 << 10;

struct PluginFile {
  UniqueFd fd;  // O_PATH
  std::string path;
};

// Looks in the folders in turn. A type never leads out of its folder, and a file that others can
// write is not executed (CVE-2021-20206).
StatusOr<PluginFile> FindPlugin(const std::vector<std::string>& bin_dirs, const std::string& type);

struct PluginCall {
  std::string command;  // ADD, DEL, CHECK, STATUS, GC, VERSION
  std::string container_id, netns, ifname, args;
  std::vector<std::string> bin_dirs;  // CNI_PATH
  std::string config;                 // stdin
  int timeout_ms = 60'000;
  int cancel_fd = -1;  // readable: give up
};

// What it wrote to stdout. An error carries the plugin's own words: its error result, or the end of
// what it wrote to stderr. After the timeout, or 1 MiB of output, its process group is killed; a
// daemon that it leaves behind with our pipes does not hold us up.
StatusOr<std::string> ExecPlugin(const PluginFile& plugin, const PluginCall& call);

}  // namespace crisp::cni
