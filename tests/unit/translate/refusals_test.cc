// Every refused value of a container's request: INVALID_ARGUMENT that names the field.
#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/translate/fixture.h"

namespace crisp::cri {
namespace {

struct Case {
  const char* field;
  std::function<void(Request&)> change;
};

v1::Mount* Mount(Request& r, const std::string& target, const std::string& host = "/h") {
  v1::Mount* mount = r.config.add_mounts();
  mount->set_host_path(host);
  mount->set_container_path(target);
  return mount;
}

void Env(Request& r, const std::string& key, const std::string& value) {
  r.config.add_envs()->set_key(key);
  r.config.mutable_envs(r.config.envs_size() - 1)->set_value(value);
}

void Device(Request& r, const std::string& host, const std::string& target,
            const std::string& access) {
  v1::Device* device = r.config.add_devices();
  device->set_host_path(host);
  device->set_container_path(target);
  device->set_permissions(access);
}

void Hugepage(Request& r, const std::string& size) {
  r.resources()->add_hugepage_limits()->set_page_size(size);
}

void Unified(Request& r, const std::string& key, const std::string& value = "1") {
  (*r.resources()->mutable_unified())[key] = value;
}

using Cases = std::vector<Case>;

void ExpectRefused(const Cases& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    Request request;
    cases[i].change(request);
    const Status status = request.Translate().status();
    EXPECT_TRUE(Refuses(status, cases[i].field))
        << "case " << i << " " << cases[i].field << ": " << status;
    EXPECT_LT(status.message().size(), 800u);
  }
}

TEST(Refusals, Identity) {
  ExpectRefused(
      {{"metadata", [](Request& r) { r.config.clear_metadata(); }},
       {"metadata.name", [](Request& r) { r.config.mutable_metadata()->clear_name(); }},
       {"metadata.name",
        [](Request& r) { r.config.mutable_metadata()->set_name(std::string(254, 'n')); }},
       {"image.image", [](Request& r) { r.config.clear_image(); }},
       {"labels",
        [](Request& r) { (*r.config.mutable_annotations())["k"] = std::string(256 << 10, 'v'); }},
       {"container_path",
        [](Request& r) {
          r.cdi.mounts.push_back({"/x", "/proc/self", {}});
        }},
       {"CDI mounts.hostPath",
        [](Request& r) {
          r.cdi.mounts.push_back({"x", "/x", {}});
        }},
       {"CDI mounts.options",
        [](Request& r) {
          r.cdi.mounts.push_back({"/x", "/x", {"suid"}});
        }},
       {"CDI deviceNodes.path",
        [](Request& r) { r.cdi.nodes.emplace_back().path = "/etc/passwd"; }},
       {"CDI deviceNodes.hostPath",
        [](Request& r) { r.cdi.nodes.emplace_back().path = "/dev/no"; }},
       {"CDI deviceNodes.permissions", [](Request& r) {
          r.cdi.nodes.emplace_back().path = "/dev/null";
          r.cdi.nodes.back().permissions = "x";
        }}});
}

TEST(Refusals, S56LogPath) {
  for (const std::string& path :
       {std::string("../x"), std::string("/etc/x"), std::string("a/../../b"), std::string("."),
        std::string("x/"), std::string("a\0b", 3), std::string(256, 'a'), std::string(4096, 'a'),
        std::string("..")}) {
    Request request;
    request.config.set_log_path(path);
    EXPECT_TRUE(Refuses(request.Translate().status(), "log_path")) << path.substr(0, 40);
  }
  Request request;  // each is within the limits, the whole is not
  std::string half;
  for (int i = 0; i < 16; ++i) half += "/" + std::string(200, 'a');
  request.pod.set_log_directory(half);
  request.config.set_log_path(half.substr(1));
  EXPECT_TRUE(Refuses(request.Translate().status(), "log_path"));
}

TEST(Refusals, Process) {
  ExpectRefused({{"command", [](Request& r) { r.config.clear_command(); }},
                 {"command", [](Request& r) { r.config.set_command(0, ""); }},
                 {"args", [](Request& r) { r.config.add_args(std::string("a\0b", 3)); }},
                 {"args", [](Request& r) { r.config.add_args(std::string((128 << 10) + 1, 'a')); }},
                 {"args",
                  [](Request& r) {
                    for (int i = 0; i < 17; ++i) r.config.add_args(std::string(128 << 10, 'a'));
                  }},
                 {"envs", [](Request& r) { Env(r, "", "x"); }},
                 {"envs", [](Request& r) { Env(r, "A=B", "x"); }},
                 {"envs", [](Request& r) { Env(r, "A", std::string("x\0", 2)); }},
                 {"envs", [](Request& r) { Env(r, "A", std::string(1 << 20, 'x')); }},
                 {"envs", [](Request& r) { r.image.env = {std::string("A=\0b", 4)}; }}});
}

TEST(Refusals, S9WorkingDirectory) {
  std::vector<std::string> bad = {"relative",
                                  "/proc/1/fd/7",
                                  "/proc/self/cwd/../..",
                                  "//proc/self/fd/9",
                                  "/a/../b",
                                  "/proc",
                                  "/proc/./self/fd/10",
                                  "/dev/fd/8",
                                  std::string("/a\0", 3),
                                  "/" + std::string(256, 'a')};
  for (int fd = 0; fd < 1024; ++fd) bad.push_back(absl::StrCat("/proc/self/fd/", fd));
  for (const std::string& cwd : bad) {
    Request request;
    request.config.set_working_dir(cwd);
    EXPECT_TRUE(Refuses(request.Translate().status(), "working_dir")) << cwd;
    request.config.clear_working_dir();
    request.image.working_dir = cwd;
    EXPECT_TRUE(Refuses(request.Translate().status(), "working directory of the image")) << cwd;
  }
}

TEST(Refusals, S24Users) {
  for (const std::string& bad :
       {std::string("4294967296"), std::string("4294967295"), std::string("-1"), std::string("+0"),
        std::string("01"), std::string("0x0"), std::string(" 0"), std::string("1000:"),
        std::string(":0"), std::string("9999999999999"), std::string(1 << 20, '9'),
        std::string("root\n"), std::string("root\0", 5)}) {
    Request request;
    request.image.user = bad;
    EXPECT_TRUE(Refuses(request.Translate().status(), "User")) << bad.substr(0, 40);
    request.image.user = "0";
    request.security()->set_run_as_username(bad);
    EXPECT_TRUE(Refuses(request.Translate().status(), "run_as_username")) << bad.substr(0, 40);
  }
  for (const char* good : {"2147483648", "65536:0", "1", "0", "root", ""}) {
    Request request;
    request.image.user = good;
    EXPECT_TRUE(request.Translate().ok()) << good;
  }
  ExpectRefused(
      {{"run_as_user",
        [](Request& r) { r.security()->mutable_run_as_user()->set_value(4294967296); }},
       {"run_as_user", [](Request& r) { r.security()->mutable_run_as_user()->set_value(-1); }},
       {"run_as_group", [](Request& r) { r.security()->mutable_run_as_group()->set_value(1); }},
       {"supplemental_groups", [](Request& r) { r.security()->add_supplemental_groups(-1); }},
       {"supplemental_groups_policy", [](Request& r) {
          r.security()->set_supplemental_groups_policy(
              static_cast<v1::SupplementalGroupsPolicy>(9));
        }}});
}

TEST(Refusals, S2MountTargets) {
  for (const std::string& target :
       {std::string(""), std::string("/"), std::string("//"), std::string("relative"),
        std::string("/proc/../proc/"), std::string("/proc/self/attr"), std::string("/proc/1"),
        std::string("/./proc//sys"), std::string("/proc/thread-self/x"), std::string("/proc/keys"),
        std::string("/proc/meminfo/x"), std::string("/a/.."), std::string("/a\0b", 4),
        "/" + std::string(256, 'a'), std::string(4097, '/')}) {
    Request request;
    Mount(request, target);
    EXPECT_TRUE(Refuses(request.Translate().status(), "container_path")) << target;
  }
  Request request;
  Mount(request, "/process");
  Mount(request, "/sys/fs/cgroup");
  Mount(request, "/sys");
  Mount(request, "/proc");
  Mount(request, "/proc/meminfo");
  EXPECT_TRUE(request.Translate().ok()) << request.Translate().status();
}

TEST(Refusals, S2PrivilegedMountTargets) {
  for (const std::string target :
       {"/proc/self", "/proc/thread-self/attr", "/proc/1", "/proc/42/ns", "/"}) {
    Request request;
    request.pod.mutable_linux()->mutable_security_context()->set_privileged(true);
    request.security()->set_privileged(true);
    Mount(request, target);
    EXPECT_TRUE(Refuses(request.Translate().status(), "container_path")) << target;
  }
  Request request;
  request.pod.mutable_linux()->mutable_security_context()->set_privileged(true);
  request.security()->set_privileged(true);
  Mount(request, "/proc/sys/net");
  Mount(request, "/proc/kcore");
  EXPECT_TRUE(request.Translate().ok()) << request.Translate().status();
}

v1::Mount* ImageMount(Request& request) {
  request.volume_layers = {{"/layers/top"}};
  v1::Mount* mount = Mount(request, "/image", "");
  mount->mutable_image()->set_image("x");
  mount->set_readonly(true);
  return mount;
}

TEST(Refusals, Mounts) {
  ExpectRefused(
      {{"host_path", [](Request& r) { Mount(r, "/a", "relative"); }},
       {"host_path", [](Request& r) { Mount(r, "/a", ""); }},
       {"host_path", [](Request& r) { Mount(r, "/a", std::string("/a\0", 3)); }},
       {"container_path",
        [](Request& r) {
          Mount(r, "/a/b");
          Mount(r, "/a//b/");
        }},
       {"propagation",
        [](Request& r) { Mount(r, "/a")->set_propagation(static_cast<v1::MountPropagation>(9)); }},
       {"recursive_read_only", [](Request& r) { Mount(r, "/a")->set_recursive_read_only(true); }},
       {"recursive_read_only",
        [](Request& r) {
          v1::Mount* mount = Mount(r, "/a");
          mount->set_readonly(true);
          mount->set_recursive_read_only(true);
          mount->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
        }},
       {"mounts.host_path", [](Request& r) { ImageMount(r)->set_host_path("/x"); }},
       {"mounts.readonly", [](Request& r) { ImageMount(r)->set_readonly(false); }},
       {"mounts.propagation",
        [](Request& r) { ImageMount(r)->set_propagation(v1::PROPAGATION_BIDIRECTIONAL); }},
       {"mounts.uidMappings", [](Request& r) { ImageMount(r)->add_uidmappings()->set_length(1); }},
       {"mounts.image_sub_path", [](Request& r) { ImageMount(r)->set_image_sub_path("/x"); }},
       {"mounts.image_sub_path", [](Request& r) { ImageMount(r)->set_image_sub_path("a/../b"); }},
       {"mounts.image_sub_path", [](Request& r) { Mount(r, "/a")->set_image_sub_path("x"); }},
       {"uidMappings", [](Request& r) { Mount(r, "/a")->add_uidmappings()->set_length(1); }},
       {"uidMappings", [](Request& r) { Mount(r, "/a")->add_gidmappings()->set_length(1); }},
       {"mount_options", [](Request& r) { Mount(r, "/a")->add_mount_options("suid"); }},
       {"mounts", [](Request& r) {
          for (int i = 0; i < 1025; ++i) Mount(r, absl::StrCat("/m", i));
        }}});
}

TEST(Refusals, Devices) {
  ExpectRefused(
      {{"permissions", [](Request& r) { Device(r, "/dev/zero", "/dev/z", ""); }},
       {"permissions", [](Request& r) { Device(r, "/dev/zero", "/dev/z", "rx"); }},
       {"host_path", [](Request& r) { Device(r, "/dev/no-such", "/dev/z", "r"); }},
       {"host_path", [](Request& r) { Device(r, "/etc/passwd", "/dev/z", "r"); }},
       {"host_path", [](Request& r) { Device(r, "dev/zero", "/dev/z", "r"); }},
       {"container_path", [](Request& r) { Device(r, "/dev/zero", "", "r"); }},
       {"container_path", [](Request& r) { Device(r, "/dev/zero", "/etc/z", "r"); }},
       {"container_path", [](Request& r) { Device(r, "/dev/zero", "/dev", "r"); }},
       {"container_path", [](Request& r) { Device(r, "/dev/zero", "/dev/pts/0", "r"); }},
       {"container_path", [](Request& r) { Device(r, "/dev/zero", "/dev/../etc", "r"); }}});
}

TEST(Refusals, Security) {
  ExpectRefused(
      {{"add_capabilities",
        [](Request& r) { r.security()->mutable_capabilities()->add_add_capabilities("X"); }},
       {"drop_capabilities",
        [](Request& r) { r.security()->mutable_capabilities()->add_drop_capabilities(""); }},
       {"privileged", [](Request& r) { r.security()->set_privileged(true); }},
       {"seccomp",
        [](Request& r) {
          r.security()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
        }},
       {"seccomp.profile_type",
        [](Request& r) {
          r.security()->mutable_seccomp()->set_profile_type(
              static_cast<v1::SecurityProfile::ProfileType>(7));
        }},
       {"apparmor",
        [](Request& r) {
          r.security()->mutable_apparmor()->set_profile_type(v1::SecurityProfile::Localhost);
        }},
       {"selinux_options",
        [](Request& r) { r.security()->mutable_selinux_options()->set_type("t:s0"); }},
       {"masked_paths", [](Request& r) { r.security()->add_masked_paths("x"); }},
       {"masked_paths", [](Request& r) { r.security()->add_masked_paths("/proc/../x"); }},
       {"readonly_paths", [](Request& r) { r.security()->add_readonly_paths(""); }},
       {"namespace_options.pid",  // the pod has none to share
        [](Request& r) { r.security()->mutable_namespace_options()->set_pid(v1::POD); }},
       {"target_id",
        [](Request& r) { r.security()->mutable_namespace_options()->set_pid(v1::TARGET); }},
       {"userns_options", [](Request& r) {
          v1::NamespaceOption* options = r.security()->mutable_namespace_options();
          options->set_pid(v1::CONTAINER);
          options->mutable_userns_options()->set_mode(v1::POD);
        }}});
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST(Refusals, S25Profiles) {
  for (const std::string& ref : {std::string(), std::string("x.json"), std::string("localhost/"),
                                 std::string("/no/such.json"), std::string("/"),
                                 std::string("/dev/zero"), std::string("/a\0b", 4)}) {
    ExpectRefused(
        {{"seccomp.localhost_ref",
          [&](Request& r) {
            r.security()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
            r.security()->mutable_seccomp()->set_localhost_ref(ref);
          }},
         {"seccomp_profile_path",
          [&](Request& r) { r.security()->set_seccomp_profile_path("localhost/" + ref); }}});
  }
  ExpectRefused(
      {{"seccomp_profile_path", [](Request& r) { r.security()->set_seccomp_profile_path("x"); }},
       {"apparmor_profile", [](Request& r) { r.security()->set_apparmor_profile("x"); }},
       {"apparmor_profile", [](Request& r) { r.security()->set_apparmor_profile("localhost/"); }},
       {"apparmor_profile",
        [](Request& r) { r.security()->set_apparmor_profile("localhost/not-loaded"); }},
       {"apparmor.profile_type", [](Request& r) {
          r.security()->mutable_apparmor()->set_profile_type(
              static_cast<v1::SecurityProfile::ProfileType>(7));
        }}});
}
#pragma GCC diagnostic pop

TEST(Refusals, Cpu) {
  for (const int64_t period : {int64_t{-1}, int64_t{1}, int64_t{999}, int64_t{10000000}}) {
    ExpectRefused({{"cpu_period", [&](Request& r) { r.resources()->set_cpu_period(period); }}});
  }
  for (const int64_t quota : {int64_t{-2}, int64_t{1}, int64_t{999}, INT64_MIN, INT64_MAX}) {
    ExpectRefused({{"cpu_quota", [&](Request& r) { r.resources()->set_cpu_quota(quota); }}});
  }
  for (const int64_t shares : {int64_t{-1}, int64_t{1}, int64_t{262145}, INT64_MAX}) {
    ExpectRefused({{"cpu_shares", [&](Request& r) { r.resources()->set_cpu_shares(shares); }}});
  }
  for (const char* list : {"0-", "-1", "0-1e9", "3-1", "0,,1", "a", "0-1-2", "8192", " 0", ",",
                           "99999999999999999999"}) {
    ExpectRefused({{"cpuset_cpus", [&](Request& r) { r.resources()->set_cpuset_cpus(list); }},
                   {"cpuset_mems", [&](Request& r) { r.resources()->set_cpuset_mems(list); }}});
  }
}

TEST(Refusals, MemoryAndTheRest) {
  ExpectRefused(
      {{"memory_limit", [](Request& r) { r.resources()->set_memory_limit_in_bytes(-2); }},
       {"memory_swap", [](Request& r) { r.resources()->set_memory_swap_limit_in_bytes(-2); }},
       {"memory_swap", [](Request& r) { r.resources()->set_memory_swap_limit_in_bytes(5); }},
       {"memory_swap",
        [](Request& r) {
          r.resources()->set_memory_limit_in_bytes(10);
          r.resources()->set_memory_swap_limit_in_bytes(9);
        }},
       {"oom_score_adj", [](Request& r) { r.resources()->set_oom_score_adj(1001); }},
       {"oom_score_adj", [](Request& r) { r.resources()->set_oom_score_adj(-1001); }},
       {"unified", [](Request& r) { Unified(r, "cgroup.procs"); }},
       {"unified", [](Request& r) { Unified(r, "../memory.max"); }},
       {"unified", [](Request& r) { Unified(r, "memory"); }},
       {"unified", [](Request& r) { Unified(r, "memory.max", ""); }},
       {"unified", [](Request& r) { Unified(r, "memory.max", "1\n2"); }},
       {"unified", [](Request& r) { Unified(r, "memory.max", std::string(1, '\0')); }},
       {"unified", [](Request& r) { Unified(r, "memory.max", std::string(4097, '1')); }}});
  // What acts at once, sets up triggers, takes from others or is unknown.
  for (const char* key : {"memory.reclaim", "memory.pressure", "cpuset.cpus.partition", "cpu.stat",
                          "hugetlb.2MB.current", "hugetlb.max", "hugetlb.a.b.max", "io.cost.qos",
                          "cgroup.freeze", "memory.maxx", ".max", ""}) {
    ExpectRefused({{"unified", [&](Request& r) { Unified(r, key); }}});
  }
  for (const char* size :
       {"", "MB", "3MB", "0MB", "02MB", "2", "2mb", "2MiB", "99999999999999MB"}) {
    ExpectRefused({{"page_size", [&](Request& r) { Hugepage(r, size); }}});
  }
}

}  // namespace
}  // namespace crisp::cri
