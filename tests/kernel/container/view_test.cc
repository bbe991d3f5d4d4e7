// What a container's process sees and may do by default.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>

#include "runtime/base/files.h"
#include "tests/kernel/container/container_rig.h"

namespace crisp::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class View : public ::testing::TestWithParam<int> {
 protected:
  View() : features_(AllFeatures()[GetParam()]), rig_(features_) {}
  std::string Out(const runtime::ContainerSpec& spec) {
    const RunResult run = rig_.Run(spec);
    EXPECT_TRUE(run.status.ok()) << run.status;
    return run.log;
  }
  std::string Out(const std::string& script) { return Out(rig_.Shell(script)); }

  KernelFeatures features_;
  ContainerRig rig_;
};
INSTANTIATE_TEST_SUITE_P(Features, View, ::testing::Values(0, 1));

TEST_P(View, IsPidOneWithThePodsName) {
  const std::string out =
      Out("echo pid $$; hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; "
          "echo $MARK $HOME; pwd; id");
  EXPECT_THAT(out, AllOf(HasSubstr("pid 1\n"), HasSubstr("pod-host\npod-host\n"),
                         HasSubstr("10.0.0.7\tpod-host"), HasSubstr("nameserver 10.0.0.53"),
                         HasSubstr("from-spec /\n/\nuid=0")));
}

TEST_P(View, HasTheDefaultMountsAndNothingOfTheHost) {
  const std::string out = Out("cat /proc/self/mounts");
  EXPECT_THAT(out, AllOf(HasSubstr("overlay / overlay rw"), HasSubstr(" /proc proc rw,nosuid"),
                         HasSubstr(" /dev tmpfs rw,nosuid"), HasSubstr(" /dev/pts devpts "),
                         HasSubstr("ptmxmode=666"), HasSubstr(" /dev/mqueue mqueue ")));
  EXPECT_THAT(out, AllOf(HasSubstr(" /dev/shm tmpfs "), HasSubstr(" /sys sysfs ro,nosuid"),
                         HasSubstr(" /sys/fs/cgroup"), HasSubstr(" /etc/hosts tmpfs "),
                         HasSubstr(" /proc/sys proc ro"), HasSubstr(" /proc/keys tmpfs ro")));
  EXPECT_THAT(out, Not(HasSubstr("/root ")));
  EXPECT_THAT(out, Not(HasSubstr("/mask")));
}

TEST_P(View, SeesItsCgroupAsTheRoot) {
  const std::string out =
      Out("cat /proc/self/cgroup; ls /sys/fs/cgroup; cd /sys/fs/cgroup; "
          "test -e cgroup.procs || cd memory; echo 0 > cgroup.procs");
  EXPECT_THAT(out, Not(HasSubstr("crisp-test")));
  EXPECT_THAT(out, HasSubstr("Read-only file system"));
  if (std::filesystem::exists("/sys/fs/cgroup/memory")) {
    EXPECT_THAT(out, HasSubstr("memory\n"));
  }
}

TEST_P(View, MasksAndProtectsProc) {
  // Files that this kernel has: /proc/kcore and /proc/sysrq-trigger are not on every one.
  const std::string out =
      Out("wc -c < /proc/keys; wc -c < /proc/timer_list; ls /sys/firmware | wc -l; "
          "echo 1 > /proc/sys/kernel/panic; echo x > /proc/keys; echo b > "
          "/proc/irq/default_smp_affinity");
  EXPECT_THAT(out, HasSubstr("0\n0\n0\n"));
  EXPECT_THAT(
      out, AllOf(HasSubstr("/proc/sys/kernel/panic: Read-only"), HasSubstr("/proc/keys: Read-only"),
                 HasSubstr("/proc/irq/default_smp_affinity: Read-only")));
}

TEST_P(View, HoldsTheDefaultCapabilitiesAndFilter) {
  const std::string out = Out(rig_.Spec({"/bin/cat", "/proc/self/status"}));
  // S22: nothing inheritable or ambient.
  EXPECT_THAT(out,
              AllOf(HasSubstr("CapInh:\t0000000000000000"), HasSubstr("CapPrm:\t00000000a80425fb"),
                    HasSubstr("CapEff:\t00000000a80425fb"), HasSubstr("CapBnd:\t00000000a80425fb"),
                    HasSubstr("CapAmb:\t0000000000000000")));
  EXPECT_THAT(out, AllOf(HasSubstr("Seccomp:\t2"), HasSubstr("NoNewPrivs:\t0"),
                         HasSubstr("SigBlk:\t0000000000000000"),
                         HasSubstr("SigIgn:\t0000000000000000"), HasSubstr("Groups:\t0 ")));
}

TEST_P(View, HasThreeDescriptors) {
  // busybox ls opens the directory itself as 3.
  EXPECT_EQ(Out(rig_.Spec({"/bin/ls", "/proc/self/fd"})), "0\n1\n2\n3\n");
}

TEST_P(View, HasTheDevices) {
  const std::string out =
      Out("echo hi > /dev/null && head -c 3 /dev/zero | wc -c; head -c 5 /dev/urandom | wc -c; "
          "ls -l /dev; touch /dev/shm/x && echo shm; stat -c %a /dev/shm; echo out > /dev/stdout");
  EXPECT_THAT(out, AllOf(HasSubstr("3\n5\n"), HasSubstr("ptmx -> pts/ptmx"), HasSubstr("shm\n1777"),
                         HasSubstr("out\n"), HasSubstr("fd -> /proc/self/fd")));
}

TEST_P(View, CannotMountOrMakeUserNamespaces) {
  const std::string out = Out("mount -t tmpfs x /tmp; unshare -U true || echo refused");
  EXPECT_THAT(out, AllOf(HasSubstr("ermission denied"), HasSubstr("refused")));
}

TEST_P(View, RunsAsAnotherUser) {
  auto spec = rig_.Shell("id; cat /proc/self/status; echo again > /dev/stderr; touch /x");
  spec.user.run_as_user = 1000;
  spec.user.run_as_group = 2000;
  spec.user.supplemental_groups = {3000};
  spec.no_new_privs = true;
  const std::string out = Out(spec);
  EXPECT_THAT(
      out,
      AllOf(HasSubstr("uid=1000 gid=2000 groups=2000,3000"), HasSubstr("CapEff:\t0000000000000000"),
            HasSubstr("CapPrm:\t0000000000000000"), HasSubstr("CapBnd:\t00000000a80425fb"),
            HasSubstr("NoNewPrivs:\t1"), HasSubstr("again\n"), HasSubstr("/x: Permission denied")));
}

TEST_P(View, GivesAmbientCapabilities) {
  auto spec = rig_.Shell("cat /proc/self/status");
  spec.user.run_as_user = 1000;
  spec.caps.ambient = 1u << 10;  // NET_BIND_SERVICE
  EXPECT_THAT(Out(spec), AllOf(HasSubstr("CapAmb:\t0000000000000400"),
                               HasSubstr("CapEff:\t0000000000000400")));
}

TEST_P(View, ReadonlyRootStillHasItsMountPointsAndWorkingDirectory) {
  auto spec = rig_.Shell(
      "pwd; touch /x; touch /etc/hosts; echo > /etc/hosts; touch /dev/shm/ok && echo shm");
  spec.readonly_rootfs = true;
  spec.cwd = "/made/for/me";
  EXPECT_THAT(Out(spec), AllOf(HasSubstr("/made/for/me\n"), HasSubstr("/x: Read-only file system"),
                               HasSubstr("/etc/hosts: Read-only"), HasSubstr("shm\n")));
}

TEST_P(View, MountsVolumes) {
  const std::string volume = rig_.dir() + "/volume";
  mkdir(volume.c_str(), 0755);
  mkdir((volume + "/below").c_str(), 0755);
  auto spec = rig_.Shell(
      "echo one > /data/file; echo two > /data/below/ro/x; touch /ro/x; "
      "ls /new /etc/hosts; cat /etc/hosts");
  spec.mounts = {{volume, false, "/data"},
                 {volume, false, "/ro", true},
                 {rig_.dir() + "/missing", false, "/new"},
                 {volume, false, "/data/below/ro", true},
                 {volume + "/hosts", false, "/etc/hosts"}};
  WriteFileAtomic(OpenDir(volume)->get(), "hosts", "mine\n", 0644, false).IgnoreError();
  const std::string out = Out(spec);
  EXPECT_EQ(ReadFile(volume + "/file").value_or(""), "one\n");
  EXPECT_TRUE(std::filesystem::is_directory(rig_.dir() + "/missing"));
  EXPECT_THAT(out, AllOf(HasSubstr("/data/below/ro/x: Read-only"), HasSubstr("/ro/x: Read-only"),
                         HasSubstr("mine\n")));
}

TEST_P(View, HasATerminal) {
  auto spec = rig_.Shell("tty; test -c /dev/console && echo console; ls /dev/pts");
  spec.tty = true;
  EXPECT_THAT(Out(spec), AllOf(HasSubstr("/dev/pts/0"), HasSubstr("console")));
}

TEST_P(View, SetsLimits) {
  auto spec = rig_.Shell("ulimit -n; cat /proc/self/oom_score_adj");
  spec.rlimits = {{RLIMIT_NOFILE, 100, 200}};
  spec.oom_score_adj = 500;
  EXPECT_EQ(Out(spec), "100\n500\n");
}

TEST(ClosedParent, DoesNotShutOutOtherUsers) {
  ContainerRig rig(AllFeatures()[0], /*closed_parent=*/true);
  auto spec = rig.Shell("ls / && cat /etc/hostname");
  spec.user.run_as_user = 1000;
  const RunResult run = rig.Run(spec);
  EXPECT_TRUE(run.status.ok()) << run.status;
  EXPECT_EQ(run.exit_code, 0) << run.log;
  EXPECT_THAT(run.log, HasSubstr("pod-host"));
}

}  // namespace
}  // namespace crisp::testing
