#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "tests/unit/translate/fixture.h"

namespace crisp::cri {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;

runtime::ContainerSpec Good(const Request& request) {
  auto spec = request.Translate();
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *std::move(spec) : runtime::ContainerSpec{};
}

constexpr char kPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

TEST(TranslateContainer, PlainOneExactly) {
  const runtime::ContainerSpec spec = Good(Request());
  EXPECT_EQ(spec.id, std::string(64, 'a'));
  EXPECT_EQ(spec.sandbox_id, std::string(64, 'b'));
  EXPECT_THAT(spec.args, ElementsAre("sh"));
  EXPECT_THAT(spec.env, ElementsAre(kPath, "HOSTNAME=web-0"));
  EXPECT_EQ(spec.cwd, "/");
  EXPECT_EQ(spec.caps.bounding, runtime::DefaultCapabilities() & runtime::HostCapabilities());
  EXPECT_EQ(spec.caps.inheritable | spec.caps.ambient, 0u);
  EXPECT_FALSE(spec.no_new_privs || spec.readonly_rootfs || spec.privileged || spec.tty ||
               spec.stdin_open || spec.stdin_once || spec.host_network || spec.host_ipc);
  EXPECT_EQ(spec.pid, runtime::NamespaceMode::kContainer);
  EXPECT_EQ(spec.masked_paths.size(), 12u);
  EXPECT_THAT(spec.readonly_paths, ElementsAre("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                               "/proc/sysrq-trigger"));
  EXPECT_THAT(spec.mounts, IsEmpty());
  EXPECT_THAT(spec.devices, IsEmpty());
  EXPECT_EQ(spec.device_rules.size(), 10u);
  EXPECT_EQ(spec.seccomp, nullptr);
  EXPECT_EQ(spec.cgroup_parent, "/kubepods/pod8f2c1e0a");
  EXPECT_THAT(spec.lower_dirs, ElementsAre("/layers/1", "/layers/0"));
  EXPECT_FALSE(spec.limits.memory_bytes || spec.limits.cpu_shares || spec.limits.pids);
  ASSERT_EQ(spec.rlimits.size(), 1u);
  EXPECT_EQ(spec.rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_LE(spec.rlimits[0].soft, 1024u);
  EXPECT_LE(spec.rlimits[0].soft, spec.rlimits[0].hard);
}

TEST(TranslateContainer, EntrypointAndCmd) {
  struct Case {
    std::vector<std::string> entrypoint, cmd, command, args, expected;
  };
  for (const Case& c : std::vector<Case>{{{"e"}, {"c"}, {}, {}, {"e", "c"}},
                                         {{"e"}, {"c"}, {}, {"a"}, {"e", "a"}},
                                         {{"e"}, {"c"}, {"x"}, {}, {"x"}},
                                         {{"e"}, {"c"}, {"x"}, {"a"}, {"x", "a"}},
                                         {{}, {"c"}, {}, {}, {"c"}},
                                         {{}, {"c"}, {}, {"a"}, {"a"}},
                                         {{"e"}, {}, {}, {}, {"e"}},
                                         {{"e"}, {}, {}, {""}, {"e", ""}}}) {
    Request request;
    request.image.entrypoint = c.entrypoint;
    request.image.cmd = c.cmd;
    request.config.clear_command();
    for (const std::string& one : c.command) request.config.add_command(one);
    for (const std::string& one : c.args) request.config.add_args(one);
    EXPECT_EQ(Good(request).args, c.expected);
  }
}

void AddEnv(Request& request, const std::string& key, const std::string& value) {
  v1::KeyValue* env = request.config.add_envs();
  env->set_key(key);
  env->set_value(value);
}

TEST(TranslateContainer, EnvironmentIsMerged) {
  Request request;
  request.config.set_tty(true);
  request.image.env = {"PATH=/image", "A=1", "no-equals", "=x", "B=1", "TERM=vt100"};
  AddEnv(request, "B", "2");
  AddEnv(request, "C", "x=y");
  AddEnv(request, "B", "3");
  AddEnv(request, "AA", "");
  EXPECT_THAT(Good(request).env, ElementsAre("PATH=/image", "HOSTNAME=web-0", "TERM=vt100", "A=1",
                                             "B=3", "C=x=y", "AA="));
  request.image.env.clear();
  request.config.clear_envs();
  EXPECT_THAT(Good(request).env, ElementsAre(kPath, "HOSTNAME=web-0", "TERM=xterm"));
}

TEST(TranslateContainer, ManyEntriesCostLittle) {
  Request request;  // would take minutes if each entry were compared with each
  for (int i = 0; i < 100000; ++i) request.image.env.push_back(absl::StrCat(i, "="));
  EXPECT_EQ(Good(request).env.size(), 100002u);
}

TEST(TranslateContainer, SecurityContext) {
  Request request;
  v1::LinuxContainerSecurityContext* security = request.security();
  security->mutable_capabilities()->add_add_capabilities("NET_ADMIN");
  security->mutable_capabilities()->add_drop_capabilities("ALL");
  security->set_no_new_privs(true);
  security->set_readonly_rootfs(true);
  security->mutable_run_as_user()->set_value(1000);
  security->mutable_run_as_group()->set_value(2000);
  security->add_supplemental_groups(3000);
  security->set_supplemental_groups_policy(v1::Strict);
  security->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  security->mutable_apparmor()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  security->add_masked_paths("/proc/kcore");
  security->add_masked_paths("/proc//mine/");
  const runtime::ContainerSpec spec = Good(request);
  EXPECT_EQ(spec.caps.bounding, uint64_t{1} << 12);
  EXPECT_TRUE(spec.no_new_privs && spec.readonly_rootfs);
  EXPECT_EQ(spec.user.run_as_user, 1000);
  EXPECT_EQ(spec.user.run_as_group, 2000);
  EXPECT_THAT(spec.user.supplemental_groups, ElementsAre(3000));
  EXPECT_FALSE(spec.user.merge_image_groups);
  EXPECT_EQ(spec.seccomp, *runtime::DefaultSeccompFilter(spec.caps.bounding));
  // Ours are added to what the request names, and an empty list stays empty (procMount: Unmasked).
  EXPECT_THAT(spec.masked_paths,
              IsSupersetOf({"/proc/kcore", "/proc/mine", "/sys/devices/virtual/powercap"}));
  EXPECT_THAT(spec.readonly_paths, IsEmpty());
}

TEST(TranslateContainer, DeprecatedSeccompFieldStillCounts) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  Request request;
  request.security()->set_seccomp_profile_path("runtime/default");
  EXPECT_NE(Good(request).seccomp, nullptr);
  request.security()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Unconfined);
  EXPECT_EQ(Good(request).seccomp, nullptr) << "the new field wins";
  request.security()->clear_seccomp();
  request.security()->set_seccomp_profile_path("localhost/x");
  EXPECT_TRUE(Refuses(request.Translate().status(), "seccomp_profile_path"));
#pragma GCC diagnostic pop
}

TEST(TranslateContainer, Privileged) {
  Request request;
  request.security()->set_privileged(true);
  request.security()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  request.security()->add_masked_paths("/proc/kcore");
  EXPECT_TRUE(Refuses(request.Translate().status(), "privileged"));
  request.pod.mutable_linux()->mutable_security_context()->set_privileged(true);
  const runtime::ContainerSpec spec = Good(request);
  EXPECT_TRUE(spec.privileged);
  EXPECT_EQ(spec.caps.bounding, runtime::HostCapabilities());
  EXPECT_EQ(spec.seccomp, nullptr);
  EXPECT_THAT(spec.masked_paths, IsEmpty());
  EXPECT_THAT(spec.readonly_paths, IsEmpty());
  ASSERT_EQ(spec.device_rules.size(), 1u);
  EXPECT_EQ(spec.device_rules[0].type, 'a');
  std::vector<std::string> paths;
  for (const runtime::DeviceNode& node : spec.devices) paths.push_back(node.path);
  EXPECT_THAT(paths, IsSupersetOf({"/dev/null", "/dev/zero"}));
  EXPECT_THAT(paths, Not(Contains("/dev/ptmx")));
}

v1::Mount* AddMount(Request& request, const std::string& host, const std::string& target) {
  v1::Mount* mount = request.config.add_mounts();
  mount->set_host_path(host);
  mount->set_container_path(target);
  return mount;
}

TEST(TranslateContainer, MountsAreSortedByDepth) {
  Request request;
  AddMount(request, "/h/1", "/a/b/c")->set_readonly(true);
  AddMount(request, "/h/2", "//a//b/")->set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  v1::Mount* rro = AddMount(request, "/h/3/../x", "/z");
  rro->set_readonly(true);
  rro->set_recursive_read_only(true);
  rro->add_mount_options("noexec");
  const auto mounts = Good(request).mounts;
  ASSERT_EQ(mounts.size(), 3u);
  EXPECT_EQ(mounts[0].target, "/z");
  EXPECT_TRUE(mounts[0].recursive_readonly && mounts[0].readonly && mounts[0].noexec);
  EXPECT_FALSE(mounts[0].nodev || mounts[0].nosuid);
  EXPECT_EQ(mounts[1].target, "/a/b");
  EXPECT_EQ(mounts[1].propagation, runtime::Propagation::kShared);
  EXPECT_EQ(mounts[2].target, "/a/b/c");
  EXPECT_EQ(mounts[2].host_path, "/h/1");
  EXPECT_TRUE(mounts[2].readonly);
}

TEST(TranslateContainer, Resources) {
  Request request;
  v1::LinuxContainerResources* asked = request.resources();
  asked->set_cpu_period(100000);
  asked->set_cpu_quota(-1);
  asked->set_cpu_shares(2);
  asked->set_memory_limit_in_bytes(1 << 20);
  asked->set_oom_score_adj(-998);
  asked->set_cpuset_cpus("0-3,5");
  asked->set_cpuset_mems("0");
  v1::HugepageLimit* huge = asked->add_hugepage_limits();
  huge->set_page_size("2MB");
  (*asked->mutable_unified())["memory.high"] = "max";
  const runtime::ContainerSpec spec = Good(request);
  EXPECT_EQ(spec.limits.cpu_period_us, 100000);
  EXPECT_EQ(spec.limits.cpu_quota_us, -1);
  EXPECT_EQ(spec.limits.cpu_shares, 2u);
  EXPECT_EQ(spec.limits.memory_bytes, 1 << 20);
  EXPECT_EQ(spec.limits.memory_swap_bytes, 1 << 20) << "no word about swap: none";
  EXPECT_EQ(spec.oom_score_adj, -998);
  EXPECT_EQ(spec.limits.cpuset_cpus, "0-3,5");
  EXPECT_EQ(spec.limits.hugepages.at("2MB"), 0u);
  EXPECT_EQ(spec.limits.unified.at("memory.high"), "max");
  request.mode = runtime::CgroupMode::kV1;
  EXPECT_TRUE(Refuses(request.Translate().status(), "unified"));
}

TEST(TranslateContainer, Device) {
  Request request;
  v1::Device* device = request.config.add_devices();
  device->set_host_path("/dev/zero");
  device->set_container_path("/dev/my//zero");
  device->set_permissions("mrr");
  const runtime::ContainerSpec spec = Good(request);
  ASSERT_EQ(spec.devices.size(), 1u);
  EXPECT_EQ(spec.devices[0].path, "/dev/my/zero");
  EXPECT_EQ(spec.devices[0].type, 'c');
  EXPECT_EQ(spec.devices[0].major, 1u);
  EXPECT_EQ(spec.devices[0].minor, 5u);
  EXPECT_EQ(spec.device_rules.back().access, "rm");
  EXPECT_EQ(spec.device_rules.back().minor, 5);
}

TEST(TranslateContainer, HostNetworkFollowsThePod) {
  Request request;
  request.pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
      v1::NODE);
  EXPECT_TRUE(Good(request).host_network);
}

TEST(LogPath, JoinedOrAbsent) {
  Request request;
  EXPECT_EQ(*LogPathOf(request.pod, request.config),
            "/var/log/pods/default_web_8f2c1e0a/app/0.log");
  request.config.set_log_path("a//./b.log");
  EXPECT_EQ(*LogPathOf(request.pod, request.config), "/var/log/pods/default_web_8f2c1e0a/a/b.log");
  request.config.clear_log_path();
  EXPECT_EQ(*LogPathOf(request.pod, request.config), "");
  request.config.set_log_path("x");
  request.pod.clear_log_directory();
  EXPECT_EQ(*LogPathOf(request.pod, request.config), "");
  request.config.set_log_path("../x");
  EXPECT_FALSE(LogPathOf(request.pod, request.config).ok());
}

TEST(StopSignal, OfRequestAndImage) {
  Request request;
  const auto stop = [&](const std::string& image_signal) {
    request.image.stop_signal = image_signal;
    return StopSignalOf(request.config, request.image);
  };
  const std::vector<std::pair<std::string, int>> good = {
      {"", SIGTERM},        {"SIGQUIT", SIGQUIT}, {"QUIT", SIGQUIT},   {"sigusr1", SIGUSR1},
      {"9", SIGKILL},       {"64", 64},           {"RTMIN+3", 37},     {"SIGRTMIN+3", 37},
      {"SIGRTMAX-2", 62},   {"SIGCLD", SIGCHLD},  {"SIGIOT", SIGABRT}, {"SIGIO", SIGIO},
      {"SIGPOLL", SIGPOLL}, {"SIGRTMAX", 64}};
  for (const auto& [text, number] : good) {
    ASSERT_TRUE(stop(text).ok()) << text;
    EXPECT_EQ(*stop(text), number) << text;
  }
  for (const char* bad : {"SIGFOO", "99", "-9", "0", "65", "+9", " 9", "SIG", "SIGSIGTERM",
                          "RTMIN+99", "RTMIN-1", "RTMIN+", "RTMAX+1", "TERM\n", "1000000000000"}) {
    EXPECT_TRUE(Refuses(stop(bad).status(), "stop signal")) << bad;
  }
  // The request's own wins, in every value of the enumeration.
  for (int value = 1; value <= v1::Signal_MAX; ++value) {
    request.config.set_stop_signal(static_cast<v1::Signal>(value));
    EXPECT_TRUE(stop("SIGFOO").ok()) << v1::Signal_Name(static_cast<v1::Signal>(value));
  }
  request.config.set_stop_signal(v1::SIGNAL_SIGRTMAXMINUS14);
  EXPECT_EQ(*stop(""), 50);
  request.config.set_stop_signal(static_cast<v1::Signal>(999));
  EXPECT_TRUE(Refuses(stop("").status(), "stop_signal"));
}

}  // namespace
}  // namespace crisp::cri
