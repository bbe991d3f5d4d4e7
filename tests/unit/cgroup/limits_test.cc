#include "runtime/cgroup/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cgroup/device_program.h"
#include "runtime/cgroup/devices.h"

namespace crisp::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// "file=value" of each write.
std::vector<std::string> Plan(const CgroupLimits& limits, ControllerKind kind) {
  const auto writes = PlanLimits(limits, [&](const std::string&) { return kind; });
  EXPECT_TRUE(writes.ok()) << writes.status();
  std::vector<std::string> out;
  if (!writes.ok()) return out;
  for (const LimitWrite& write : *writes) {
    EXPECT_EQ(write.controller, write.file.substr(0, write.file.find('.')));
    out.push_back(write.file + "=" + write.value);
  }
  return out;
}

CgroupLimits Everything() {
  CgroupLimits limits;
  limits.cpu_period_us = 100000;
  limits.cpu_quota_us = 50000;
  limits.cpu_shares = 1024;
  limits.memory_bytes = 1 << 20;
  limits.memory_swap_bytes = 3 << 20;
  limits.pids = 7;
  limits.cpuset_cpus = "0";
  limits.cpuset_mems = "0";
  limits.hugepages = {{"2MB", 0}};
  return limits;
}

TEST(PlanLimits, V1) {
  EXPECT_THAT(Plan(Everything(), ControllerKind::kV1),
              ElementsAre("cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000",
                          "memory.limit_in_bytes=1048576", "memory.memsw.limit_in_bytes=3145728",
                          "pids.max=7", "cpuset.cpus=0", "cpuset.mems=0",
                          "hugetlb.2MB.limit_in_bytes=0", "hugetlb.2MB.rsvd.limit_in_bytes=0"));
}

TEST(PlanLimits, V2) {
  CgroupLimits limits = Everything();
  limits.unified = {{"memory.high", "max"}};
  EXPECT_THAT(Plan(limits, ControllerKind::kV2),
              ElementsAre("cpu.weight=100", "cpu.max=50000 100000", "memory.max=1048576",
                          "memory.swap.max=2097152", "pids.max=7", "cpuset.cpus=0", "cpuset.mems=0",
                          "hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0", "memory.high=max"));
}

TEST(PlanLimits, NoLimit) {
  CgroupLimits limits;
  limits.cpu_quota_us = -1;
  limits.memory_bytes = -1;
  limits.memory_swap_bytes = -1;
  limits.pids = -1;
  EXPECT_THAT(Plan(limits, ControllerKind::kV1),
              ElementsAre("cpu.cfs_quota_us=-1", "memory.limit_in_bytes=-1",
                          "memory.memsw.limit_in_bytes=-1", "pids.max=max"));
  EXPECT_THAT(Plan(limits, ControllerKind::kV2),
              ElementsAre("cpu.max=max", "memory.max=max", "memory.swap.max=max", "pids.max=max"));
  EXPECT_THAT(Plan({}, ControllerKind::kAbsent), ElementsAre());
}

TEST(PlanLimits, SharesToWeight) {
  EXPECT_EQ(SharesToWeight(2), 1u);
  EXPECT_EQ(SharesToWeight(102), 17u);  // 100m
  EXPECT_EQ(SharesToWeight(1024), 100u);
  EXPECT_EQ(SharesToWeight(262143), 10000u);
  for (uint64_t shares = 3; shares < 262144; shares += 7)
    ASSERT_LE(SharesToWeight(shares - 1), SharesToWeight(shares)) << shares;
  EXPECT_EQ(SharesToWeight(262144), 10000u);
  EXPECT_EQ(SharesToWeight(0), 1u);
  EXPECT_EQ(SharesToWeight(UINT64_MAX), 10000u);
}

TEST(PlanLimits, SwapNeedsMemoryOnV2) {
  const auto kind = [](const std::string&) { return ControllerKind::kV2; };
  CgroupLimits limits;
  limits.memory_swap_bytes = 100;
  EXPECT_EQ(PlanLimits(limits, kind).status().code(), absl::StatusCode::kInvalidArgument);
  limits.memory_bytes = 101;
  EXPECT_EQ(PlanLimits(limits, kind).status().code(), absl::StatusCode::kInvalidArgument);
  limits.memory_bytes = 100;
  EXPECT_THAT(Plan(limits, ControllerKind::kV2),
              ElementsAre("memory.max=100", "memory.swap.max=0"));
}

TEST(PlanLimits, AbsentControllerIsNamed) {
  CgroupLimits limits = Everything();
  const auto without = [](const char* gone) {
    return [gone](const std::string& c) {
      return c == gone ? ControllerKind::kAbsent : ControllerKind::kV1;
    };
  };
  for (const char* gone : {"cpu", "memory", "pids", "cpuset"}) {
    const Status status = PlanLimits(limits, without(gone)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(gone));
  }
  EXPECT_TRUE(PlanLimits(limits, without("hugetlb")).ok());
}

TEST(PlanLimits, UnifiedIsChecked) {
  const auto v2 = [](const std::string&) { return ControllerKind::kV2; };
  const auto v1 = [](const std::string&) { return ControllerKind::kV1; };
  for (const std::string& bad :
       {std::string("cgroup.procs"), std::string("memory"), std::string("../memory.max"),
        std::string("memory.x/../y"), std::string(".max"), std::string("memory.\0", 8)}) {
    CgroupLimits limits;
    limits.unified = {{bad, "1"}};
    EXPECT_EQ(PlanLimits(limits, v2).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  CgroupLimits limits;
  limits.unified = {{"memory.high", "1"}};
  EXPECT_THAT(std::string(PlanLimits(limits, v1).status().message()), HasSubstr("memory.high"));
}

TEST(Devices, Lines) {
  EXPECT_EQ(DeviceLine({'c', 1, 3, "rwm"}), "c 1:3 rwm");
  EXPECT_EQ(DeviceLine({'b', -1, -1, "m"}), "b *:* m");
  EXPECT_TRUE(CheckDeviceRules({{'a', -1, -1, "rwm"}}).ok());
  for (const DeviceRule& bad : std::vector<DeviceRule>{{'x', 1, 1, "r"},
                                                       {'c', -2, 1, "r"},
                                                       {'c', 4096, 1, "r"},
                                                       {'c', 1, 1 << 20, "r"},
                                                       {'c', 1, 1, ""},
                                                       {'c', 1, 1, "rx"},
                                                       {'c', 1, 1, "rwmr"}}) {
    EXPECT_EQ(CheckDeviceRules({bad}).code(), absl::StatusCode::kInvalidArgument);
  }
}

// A model of the kernel running the program: enough of eBPF for what the builder emits.
bool Allows(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
            uint32_t minor) {
  const uint32_t context[3] = {access << 16 | type, major, minor};
  uint32_t reg[11] = {};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const bpf_insn& in = program[pc];
    const auto imm = static_cast<uint32_t>(in.imm);
    switch (in.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        reg[in.dst_reg] = context[in.off / 4];
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        reg[in.dst_reg] = reg[in.src_reg];
        break;
      case BPF_ALU | BPF_MOV | BPF_K:
        reg[in.dst_reg] = imm;
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        reg[in.dst_reg] &= imm;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        reg[in.dst_reg] >>= imm;
        break;
      case BPF_JMP32 | BPF_JNE | BPF_K:
        if (reg[in.dst_reg] != imm) pc += static_cast<size_t>(in.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return reg[0] == 1;
      default:
        ADD_FAILURE() << "instruction " << pc;
        return false;
    }
  }
  ADD_FAILURE() << "left the program";
  return false;
}

TEST(Devices, S21ProgramIsAnAllowList) {
  const std::vector<DeviceRule> rules = {
      {'c', 1, 3, "rwm"}, {'c', 136, -1, "rw"}, {'b', -1, -1, "m"}, {'a', 10, 200, "r"}};
  const std::vector<bpf_insn> program = BuildDeviceProgram(rules);
  for (uint32_t type : {BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR}) {
    for (uint32_t access = 1; access < 8; ++access) {
      for (uint32_t major = 0; major < 256; ++major) {
        for (uint32_t minor : {0u, 1u, 3u, 200u, 1048575u}) {
          const bool c = type == BPF_DEVCG_DEV_CHAR;
          const bool expected = (c && major == 1 && minor == 3) ||
                                (c && major == 136 && (access & BPF_DEVCG_ACC_MKNOD) == 0) ||
                                (!c && access == BPF_DEVCG_ACC_MKNOD) ||
                                (major == 10 && minor == 200 && access == BPF_DEVCG_ACC_READ);
          ASSERT_EQ(Allows(program, type, access, major, minor), expected)
              << type << " " << access << " " << major << ":" << minor;
        }
      }
    }
  }
  EXPECT_FALSE(Allows(BuildDeviceProgram({}), BPF_DEVCG_DEV_CHAR, 1, 1, 3));
}

}  // namespace
}  // namespace crisp::runtime
