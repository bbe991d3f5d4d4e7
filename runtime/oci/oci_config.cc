#include "runtime/oci/oci_config.h"

#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "runtime/base/json.h"
#include "runtime/container/launch_plan.h"
#include "runtime/seccomp/profile.h"

namespace crisp::runtime {
namespace {

Json NamesOf(CapSet set) {
  Json names = Json::array();
  for (int cap = 0; cap < 64; ++cap) {
    if ((set >> cap & 1) != 0 && (HostCapabilities() >> cap & 1) != 0)
      names.push_back(CapabilityName(cap));
  }
  return names;
}

const char* RlimitName(int resource) {
  constexpr const char* kNames[] = {
      "RLIMIT_CPU",      "RLIMIT_FSIZE", "RLIMIT_DATA",   "RLIMIT_STACK",
      "RLIMIT_CORE",     "RLIMIT_RSS",   "RLIMIT_NPROC",  "RLIMIT_NOFILE",
      "RLIMIT_MEMLOCK",  "RLIMIT_AS",    "RLIMIT_LOCKS",  "RLIMIT_SIGPENDING",
      "RLIMIT_MSGQUEUE", "RLIMIT_NICE",  "RLIMIT_RTPRIO", "RLIMIT_RTTIME"};
  return resource >= 0 && resource < 16 ? kNames[resource] : "RLIMIT_UNKNOWN";
}

Json ProcessOf(const OciInput& input) {
  const ContainerSpec& spec = *input.spec;
  const Identity& identity = *input.identity;
  std::vector<std::string> env = spec.env;
  bool home = false;
  for (const std::string& entry : env) home |= absl::StartsWith(entry, "HOME=");
  if (!home) env.push_back("HOME=" + identity.home);
  Json rlimits = Json::array();
  for (const Rlimit& limit : spec.rlimits) {
    rlimits.push_back(
        {{"type", RlimitName(limit.resource)}, {"soft", limit.soft}, {"hard", limit.hard}});
  }
  Json process = {
      {"terminal", false},
      {"user", {{"uid", identity.uid}, {"gid", identity.gid}, {"additionalGids", identity.groups}}},
      {"args", spec.args},
      {"env", env},
      {"cwd", spec.cwd.empty() ? "/" : spec.cwd},
      {"capabilities",
       {{"bounding", NamesOf(spec.caps.bounding)},
        {"effective", NamesOf(spec.caps.effective)},
        {"permitted", NamesOf(spec.caps.permitted)},
        {"inheritable", NamesOf(spec.caps.ambient)},  // ambient needs it, nothing else does
        {"ambient", NamesOf(spec.caps.ambient)}}},
      {"rlimits", rlimits},
      {"noNewPrivileges", spec.no_new_privs},
      {"oomScoreAdj", spec.oom_score_adj}};
  if (!spec.apparmor_profile.empty()) process["apparmorProfile"] = spec.apparmor_profile;
  if (!spec.process_label.empty()) process["selinuxLabel"] = spec.process_label;
  return process;
}

Json Mount(const std::string& target, const std::string& type, const std::string& source,
           std::vector<std::string> options) {
  return {
      {"destination", target}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

std::vector<std::string> OptionsOf(const BindMount& mount) {
  std::vector<std::string> options = {"rbind"};
  constexpr const char* kPropagation[] = {"rprivate", "rslave", "rshared"};
  options.push_back(kPropagation[static_cast<int>(mount.propagation)]);
  options.push_back(mount.readonly ? "ro" : "rw");
  if (mount.recursive_readonly) options.push_back("rro");
  if (mount.noexec) options.push_back("noexec");
  if (mount.nodev) options.push_back("nodev");
  if (mount.nosuid) options.push_back("nosuid");
  return options;
}

// What our own launch mounts too (container_init.cc), unless the pod brings it.
Json MountsOf(const OciInput& input) {
  const ContainerSpec& spec = *input.spec;
  const std::string access = spec.privileged ? "rw" : "ro";
  Json mounts = Json::array();
  const auto add = [&](const std::string& target, const std::string& type,
                       const std::string& source, std::vector<std::string> options) {
    if (!CoversPath(spec, target))
      mounts.push_back(Mount(target, type, source, std::move(options)));
  };
  add("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"});
  add("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  add("/dev/pts", "devpts", "devpts",
      {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  add("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"});
  add("/dev/shm", "bind", input.shm.empty() ? "/dev/shm" : input.shm,
      {"bind", "rprivate", "nosuid", "noexec", "nodev"});
  add("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", access});
  add("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", access});
  for (const char* name : {"hosts", "resolv.conf", "hostname"}) {
    add(absl::StrCat("/etc/", name), "bind", absl::StrCat(input.files, "/", name),
        {"bind", "rprivate", spec.readonly_rootfs ? "ro" : "rw"});
  }
  for (const BindMount& mount : spec.mounts)
    mounts.push_back(Mount(mount.target, "bind", mount.host_path, OptionsOf(mount)));
  return mounts;
}

Json SeccompOf(const ContainerSpec& spec) {
  const SeccompProfile profile = DefaultProfile(spec.caps.bounding);
  Json syscalls = Json::array();
  for (const SyscallRule& rule : profile.rules) {
    Json entry = {{"names", {rule.name}}};
    const bool allowed = rule.action == SECCOMP_RET_ALLOW;  // the default profile has no third
    entry["action"] = allowed ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO";
    if (!allowed) entry["errnoRet"] = rule.action & SECCOMP_RET_DATA;
    for (const ArgTest& test : rule.tests) {
      Json arg = {{"index", test.index}, {"value", test.value}, {"valueTwo", 0}};
      arg["op"] = test.op == ArgTest::Op::kEqual ? "SCMP_CMP_EQ" : "SCMP_CMP_NE";
      if (test.op == ArgTest::Op::kMaskedEqual) {
        arg = {{"index", test.index}, {"value", test.mask}, {"valueTwo", test.value}};
        arg["op"] = "SCMP_CMP_MASKED_EQ";
      }
      entry["args"].push_back(arg);
    }
    syscalls.push_back(entry);
  }
  return {{"defaultAction", "SCMP_ACT_ERRNO"},
          {"defaultErrnoRet", profile.default_action & SECCOMP_RET_DATA},
          {"architectures", {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
          {"syscalls", syscalls}};
}

Json NamespacesOf(const OciInput& input) {
  Json namespaces = {{{"type", "pid"}}, {{"type", "mount"}}, {{"type", "cgroup"}}};
  for (const auto& [type, path] : {std::pair("network", input.net), std::pair("ipc", input.ipc),
                                   std::pair("uts", input.uts)}) {
    if (!path.empty()) namespaces.push_back({{"type", type}, {"path", path}});
  }
  return namespaces;
}

Json DevicesOf(const ContainerSpec& spec) {
  Json devices = Json::array();
  for (const DeviceNode& node : spec.devices) {
    devices.push_back({{"path", node.path},
                       {"type", std::string(1, node.type)},
                       {"major", node.major},
                       {"minor", node.minor},
                       {"fileMode", node.mode},
                       {"uid", node.uid},
                       {"gid", node.gid}});
  }
  return devices;
}

// Runtimes set up the device cgroup anew, so they must be told; the other limits stand already.
Json DeviceRulesOf(const ContainerSpec& spec) {
  Json rules = {{{"allow", false}, {"access", "rwm"}}};
  for (const DeviceRule& rule : spec.device_rules) {
    Json entry = {{"allow", true}, {"type", std::string(1, rule.type)}, {"access", rule.access}};
    if (rule.major >= 0) entry["major"] = rule.major;
    if (rule.minor >= 0) entry["minor"] = rule.minor;
    rules.push_back(entry);
  }
  return rules;
}

Json LinuxOf(const OciInput& input) {
  const ContainerSpec& spec = *input.spec;
  Json part = {
      {"namespaces", NamespacesOf(input)}, {"cgroupsPath", input.cgroup},
      {"devices", DevicesOf(spec)},        {"resources", {{"devices", DeviceRulesOf(spec)}}},
      {"maskedPaths", spec.masked_paths},  {"readonlyPaths", spec.readonly_paths}};
  if (!spec.mount_label.empty()) part["mountLabel"] = spec.mount_label;
  if (input.default_seccomp) part["seccomp"] = SeccompOf(spec);
  return part;
}

}  // namespace

StatusOr<std::string> MakeOciConfig(const OciInput& input) {
  const Json config = {
      {"ociVersion", "1.0.2"},
      {"process", ProcessOf(input)},
      {"root", {{"path", input.rootfs}, {"readonly", input.spec->readonly_rootfs}}},
      {"mounts", MountsOf(input)},
      {"linux", LinuxOf(input)}};
  std::string text = config.dump(-1, ' ', false, Json::error_handler_t::replace);
  // The two differ where a byte was no UTF-8: silently another argument would be worse than none.
  if (text == config.dump(-1, ' ', false, Json::error_handler_t::ignore)) return text;
  return InvalidField("args, envs or mounts", "",
                      "not UTF-8, which an OCI runtime's config.json cannot carry");
}

}  // namespace crisp::runtime
