#include "cri/pods/handlers.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace crisp::cri {
namespace {

constexpr const char* kRlimits[] = {"cpu",      "fsize",  "data",    "stack", "core",  "rss",
                                    "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
                                    "msgqueue", "nice",   "rtprio",  "rttime"};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
const std::string& OldSeccompPath(const v1::LinuxContainerSecurityContext& context) {
  return context.seccomp_profile_path();
}
#pragma GCC diagnostic pop

bool ParseLimit(absl::string_view text, uint64_t* limit) {
  *limit = RLIM_INFINITY;
  return text == "unlimited" || absl::SimpleAtoi(text, limit);
}

StatusOr<std::unique_ptr<const Handler>> MakeHandler(const std::string& name,
                                                     const HandlerConfig& config,
                                                     const std::string& oci_dir) {
  auto handler = std::make_unique<Handler>();
  for (const std::string& text : config.rlimits) {
    auto limit = ParseRlimit(text);
    RETURN_IF_ERROR(Annotate(limit.status(), "handlers.", name, ".rlimits"));
    handler->rlimits.push_back(*limit);
  }
  handler->default_seccomp = config.seccomp == "runtime-default";
  if (config.runtime.empty()) {
    if (config.runtime_args.empty()) return handler;
    return InvalidField(absl::StrCat("handlers.", name, ".runtime_args"),
                        config.runtime_args.front(), "needs a runtime");
  }
  std::vector<std::string> command = {config.runtime};
  command.insert(command.end(), config.runtime_args.begin(), config.runtime_args.end());
  handler->oci = std::make_unique<const runtime::OciRuntime>(std::move(command), oci_dir);
  RETURN_IF_ERROR(Annotate(handler->oci->CheckProgram(), "handlers.", name, ".runtime"));
  return handler;
}

}  // namespace

StatusOr<runtime::Rlimit> ParseRlimit(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  const auto name = std::find(std::begin(kRlimits), std::end(kRlimits), parts.first);
  if (name == std::end(kRlimits)) return InvalidField("rlimit", text, "not the name of a limit");
  const std::pair<std::string, std::string> values =
      absl::StrSplit(parts.second, absl::MaxSplits(':', 1));
  runtime::Rlimit limit{static_cast<int>(name - std::begin(kRlimits)), 0, 0};
  const bool both = parts.second.find(':') != std::string::npos;
  if (!ParseLimit(values.first, &limit.soft) ||
      !ParseLimit(both ? values.second : values.first, &limit.hard))
    return InvalidField("rlimit", text, "wants NAME=SOFT:HARD, a number or \"unlimited\" each");
  if (limit.soft > limit.hard) return InvalidField("rlimit", text, "soft is above hard");
  return limit;
}

Handlers::Handlers() {
  for (const char* name : {"", "crisp"}) handlers_[name] = std::make_unique<Handler>();
}

StatusOr<Handlers> Handlers::Make(const std::map<std::string, HandlerConfig>& configured,
                                  const std::string& oci_dir) {
  Handlers all;
  for (const auto& [name, config] : configured) {
    ASSIGN_OR_RETURN(all.handlers_[name], MakeHandler(name, config, oci_dir));
  }
  return all;
}

StatusOr<const Handler*> Handlers::Find(const std::string& name) const {
  const auto found = handlers_.find(name);
  if (found != handlers_.end()) return found->second.get();
  return InvalidField(
      "runtime_handler", name,
      absl::StrCat("not configured; known handlers: \"", absl::StrJoin(Names(), "\", \""), "\""));
}

std::vector<std::string> Handlers::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, handler] : handlers_) names.push_back(name);
  return names;
}

Status ApplyHandler(const Handler& handler, const v1::ContainerConfig& config,
                    runtime::ContainerSpec* spec) {
  for (const runtime::Rlimit& limit : handler.rlimits) {
    const auto same = std::find_if(spec->rlimits.begin(), spec->rlimits.end(),
                                   [&](const auto& one) { return one.resource == limit.resource; });
    if (same == spec->rlimits.end()) {
      spec->rlimits.push_back(limit);
    } else {
      *same = limit;
    }
  }
  const v1::LinuxContainerSecurityContext& context = config.linux().security_context();
  const bool given = context.has_seccomp() || !OldSeccompPath(context).empty();
  if (handler.default_seccomp && !given && !spec->privileged) {
    ASSIGN_OR_RETURN(spec->seccomp, runtime::DefaultSeccompFilter(spec->caps.bounding));
  }
  if (!handler.oci) return absl::OkStatus();
  for (const auto& [field, profile] :
       {std::pair("seccomp", &context.seccomp()), std::pair("apparmor", &context.apparmor())}) {
    if (profile->profile_type() == v1::SecurityProfile::Localhost)
      return InvalidField(absl::StrCat("security_context.", field, ".profile_type"), "Localhost",
                          "not possible with an external runtime");
  }
  return handler.oci->Check(*spec);
}

}  // namespace crisp::cri
