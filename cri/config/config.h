// What an operator can set: crisp.toml, conf.d/*.toml beside it and the flags of crispd.
// docs/design/configuration.md. A value of Config is complete and checked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/status.h"

namespace crisp {

struct NetworkConfig {
  bool builtin = true;
  std::string subnet = "10.85.0.0/16";
  std::string bridge = "cni0";
  std::vector<std::string> conf_dirs = {"/etc/cni/net.d"};
  std::vector<std::string> bin_dirs = {"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"};
  int64_t pool_size = 8;
};

struct RegistryConfig {
  std::string endpoint;  // "" = https://HOST, http:// for loopback hosts
  bool plain_http = false;
  bool skip_verify = false;
  std::string ca_file;
};

struct HandlerConfig {
  std::string runtime;                    // of an external OCI runtime; "" = built in
  std::vector<std::string> runtime_args;  // its global options
  std::vector<std::string> rlimits;       // "nofile=1024:524288"
  std::string seccomp;                    // "" = as the request says, or "runtime-default"
};

struct LogConfig {
  int64_t max_line_bytes = 16384;
  int64_t max_file_bytes = 0;
  int64_t max_bytes_per_second = 0;
};

struct LaunchConfig {
  int64_t timeout_ms = 30000;
};

struct ExecConfig {
  int64_t drain_ms = 100;
};

struct StreamingConfig {
  std::string address = "127.0.0.1:0";
  std::string tls_certificate, tls_key;  // both or none
  std::string tls_client_ca;
  std::string on_disconnect = "hangup";
  int64_t hangup_grace_ms = 2000;
  int64_t attach_wait_ms = 2000;
};

struct DebugConfig {
  std::vector<std::string> kernel_features_off;
};

struct Config {
  std::string root = "/var/lib/crisp";
  std::string state = "/run/crisp";
  std::string socket;        // filled: <state>/crisp.sock
  std::string debug_socket;  // filled: <state>/debug.sock
  std::string metrics_address;
  std::string log_level = "info";
  std::string cgroup_driver = "auto";
  std::string sandbox_image = "registry.k8s.io/pause:3.10.2";
  std::string default_image;  // "" = ../share/crisp/images/busybox
  std::vector<std::string> cdi_dirs = {"/etc/cdi", "/var/run/cdi"};
  std::string keeper_binary;    // "" = crisp-keeper beside the program
  std::string unpacker_binary;  // "" = crisp-unpack beside the program
  NetworkConfig network;
  LogConfig log;
  LaunchConfig launch;
  ExecConfig exec;
  StreamingConfig streaming;
  DebugConfig debug;
  std::map<std::string, HandlerConfig> handlers;     // by the name a RuntimeClass gives
  std::map<std::string, RegistryConfig> registries;  // by host, "docker.io", "127.0.0.1:5000"

  // Where each value that is no default came from: "network.subnet" -> "/etc/crisp/crisp.toml:12".
  std::map<std::string, std::string> origins;
};

inline constexpr char kDefaultConfigFile[] = "/etc/crisp/crisp.toml";

// What the command line of crispd can say; flags beat files.
struct CommandLine {
  std::optional<std::string> config, root, state, socket, log_level;
  bool help = false, version = false;
};

StatusOr<CommandLine> ParseCommandLine(int argc, char* const* argv);
std::string CommandLineHelp();

// Defaults, then the file (missing is fine unless --config named it), then conf.d/*.toml in the
// order of their names, then flags. Errors read "FILE:LINE: NAME: why".
StatusOr<Config> LoadConfig(const CommandLine& flags);

// One TOML text on top of `config`; `file` is for messages. Not yet checked as a whole.
Status ApplyToml(const std::string& file, absl::string_view text, Config* config);

// Every setting commented out with its default and meaning (deploy/crisp.toml).
std::string DefaultConfigText();
// The values in force and where each came from.
std::string DumpConfigText(const Config& config);

}  // namespace crisp
