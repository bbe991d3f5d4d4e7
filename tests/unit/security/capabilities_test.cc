#include "runtime/security/capabilities.h"

#include <gtest/gtest.h>

namespace crisp::runtime {
namespace {

constexpr CapSet kNetAdmin = CapSet{1} << 12, kSysAdmin = CapSet{1} << 21, kChown = 1,
                 kNetRaw = CapSet{1} << 13;

CapSets Compute(const std::vector<std::string>& add, const std::vector<std::string>& drop,
                const std::vector<std::string>& ambient = {}, bool privileged = false) {
  auto sets = ComputeCapabilities(add, drop, ambient, privileged);
  EXPECT_TRUE(sets.ok()) << sets.status();
  return sets.ok() ? *sets : CapSets{};
}

TEST(Capabilities, DefaultIsTheFourteen) {
  EXPECT_EQ(DefaultCapabilities(), 0xa80425fbu);  // what Docker's containers show in CapBnd
  EXPECT_EQ(__builtin_popcountll(DefaultCapabilities()), 14);
  const CapSets sets = Compute({}, {});
  EXPECT_EQ(sets.bounding, DefaultCapabilities() & HostCapabilities());
  EXPECT_EQ(sets.effective, sets.bounding);
  EXPECT_EQ(sets.permitted, sets.bounding);
}

TEST(Capabilities, S22InheritableAndAmbientAreEmpty) {
  for (const bool privileged : {false, true}) {
    const CapSets sets = Compute({"ALL"}, {}, {}, privileged);
    EXPECT_EQ(sets.inheritable, 0u);
    EXPECT_EQ(sets.ambient, 0u);
  }
}

TEST(Capabilities, NamesInAnyForm) {
  for (const char* name : {"NET_ADMIN", "CAP_NET_ADMIN", "net_admin", "cap_Net_Admin"}) {
    EXPECT_TRUE(Compute({name}, {}).bounding & kNetAdmin) << name;
  }
  EXPECT_EQ(CapabilityName(0), "CAP_CHOWN");
  EXPECT_EQ(CapabilityName(40), "CAP_CHECKPOINT_RESTORE");
  EXPECT_EQ(CapabilityName(99), "CAP_99");
}

TEST(Capabilities, OrderOfAllAndSingles) {
  EXPECT_EQ(Compute({"ALL"}, {}).bounding, HostCapabilities());
  EXPECT_EQ(Compute({}, {"ALL"}).bounding, 0u);
  EXPECT_EQ(Compute({"NET_RAW"}, {"ALL"}).bounding, kNetRaw);
  EXPECT_EQ(Compute({"ALL"}, {"SYS_ADMIN"}).bounding, HostCapabilities() & ~kSysAdmin);
  EXPECT_EQ(Compute({"ALL", "CHOWN"}, {"ALL"}).bounding, kChown);
  EXPECT_EQ(Compute({"CHOWN"}, {"CHOWN"}).bounding & kChown, 0u);
  EXPECT_EQ(Compute({}, {"ALL"}, {}, true).bounding, HostCapabilities());
}

TEST(Capabilities, NeverMoreThanTheHostHas) {
  for (int number = 0; number <= 40; ++number) {
    EXPECT_EQ(Compute({CapabilityName(number)}, {}).bounding & ~HostCapabilities(), 0u);
  }
}

TEST(Capabilities, Ambient) {
  const CapSets sets = Compute({}, {"ALL"}, {"NET_ADMIN"});
  EXPECT_EQ(sets.ambient, kNetAdmin);
  EXPECT_EQ(sets.inheritable, kNetAdmin);
  EXPECT_EQ(sets.permitted, kNetAdmin);
  EXPECT_EQ(sets.bounding, kNetAdmin);
  EXPECT_FALSE(ComputeCapabilities({}, {"NET_ADMIN"}, {"NET_ADMIN"}, false).ok());
}

TEST(Capabilities, UnknownNamesAreRefused) {
  for (const char* name : {"", "CAP_", "CAP_ALL", "SYS_ROOT", "CHOWN ", "CAP_CAP_CHOWN", "41"}) {
    for (int list = 0; list < 3; ++list) {
      std::vector<std::string> lists[3];
      lists[list] = {name};
      const Status status = ComputeCapabilities(lists[0], lists[1], lists[2], false).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
      EXPECT_NE(std::string(status.message()).find("capabilities."), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace crisp::runtime
