// Defaults, file, conf.d, flags, in this order; then what depends on several values.
#include <algorithm>

#include "absl/strings/match.h"
#include "cri/config/checks.h"
#include "cri/config/config.h"
#include "cri/config/fields.h"
#include "runtime/base/files.h"

namespace crisp {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

Status ApplyFile(const std::string& path, Config* config) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return ApplyToml(path, text, config);
}

Status ApplyDropIns(const std::string& dir, Config* config) {
  auto fd = OpenDir(dir);
  if (absl::IsNotFound(fd.status())) return absl::OkStatus();
  if (!fd.ok()) return fd.status();
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDir(fd->get()));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".toml") || absl::StartsWith(name, ".")) continue;
    RETURN_IF_ERROR(ApplyFile(absl::StrCat(dir, "/", name), config));
  }
  return absl::OkStatus();
}

Status ApplyFiles(const CommandLine& flags, Config* config) {
  const std::string file = flags.config.value_or(kDefaultConfigFile);
  const Status status = ApplyFile(file, config);
  const bool may_be_missing = !flags.config.has_value();
  if (!status.ok() && !(may_be_missing && absl::IsNotFound(status))) return status;
  const size_t slash = file.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : file.substr(0, slash);
  return ApplyDropIns(dir + "/conf.d", config);
}

Status ApplyFlags(const CommandLine& flags, Config* config) {
  const struct {
    const char* name;
    const std::optional<std::string>& flag;
  } rows[] = {{"root", flags.root},
              {"state", flags.state},
              {"socket", flags.socket},
              {"log_level", flags.log_level}};
  for (const auto& row : rows) {
    if (!row.flag) continue;
    for (const Field& field : ConfigFields()) {
      if (field.name != row.name) continue;
      const FieldPlace place = field.place(*config);
      *std::get<std::string*>(place) = *row.flag;
      const std::string why =
          row.flag->empty() ? "must not be empty" : CheckPlace(place, field.check, 0, 0);
      if (!why.empty()) return InvalidField(field.name, *row.flag, why);
      config->origins[row.name] = "command line";
    }
  }
  return absl::OkStatus();
}

Status Complete(Config* config) {
  if (config->root.empty()) return InvalidField("root", "", "must not be empty");
  if (config->state.empty()) return InvalidField("state", "", "must not be empty");
  if (config->root == config->state)
    return InvalidField("state", config->state, "must not be the root folder");
  if (config->streaming.tls_certificate.empty() != config->streaming.tls_key.empty())
    return InvalidField("streaming.tls_key", config->streaming.tls_key,
                        "streaming.tls_certificate and streaming.tls_key need each other");
  if (!config->streaming.tls_client_ca.empty() && config->streaming.tls_certificate.empty())
    return InvalidField("streaming.tls_client_ca", config->streaming.tls_client_ca,
                        "needs streaming.tls_certificate");
  if (config->socket.empty()) config->socket = config->state + "/crisp.sock";
  if (config->debug_socket.empty()) config->debug_socket = config->state + "/debug.sock";
  if (config->socket == config->debug_socket)
    return InvalidField("debug_socket", config->debug_socket, "is the socket of the CRI");
  for (const auto& [name, path] :
       {std::pair("socket", config->socket), std::pair("debug_socket", config->debug_socket)}) {
    const std::string why = CheckSocket(path);
    if (!why.empty()) return InvalidField(name, path, why);
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<Config> LoadConfig(const CommandLine& flags) {
  Config config;
  RETURN_IF_ERROR(ApplyFiles(flags, &config));
  RETURN_IF_ERROR(ApplyFlags(flags, &config));
  RETURN_IF_ERROR(Complete(&config));
  return config;
}

}  // namespace crisp
