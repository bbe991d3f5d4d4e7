// Names and properties of the systemd driver.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/cgroup/scope_properties.h"
#include "runtime/cgroup/slice.h"

namespace crisp::runtime {
namespace {

using testing::ElementsAre;

TEST(Slice, ExpandsAsTheKubeletComputesIt) {
  EXPECT_EQ(
      *SliceOfParent("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice"),
      "kubepods-burstable-pod1_2.slice");
  EXPECT_EQ(SlicePath("kubepods-burstable-pod1_2.slice"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice");
  EXPECT_EQ(SlicePath("system.slice"), "/system.slice");
  EXPECT_EQ(SlicePath("-.slice"), "/");
  EXPECT_EQ(*SliceOfParent(""), "crisp.slice");
  EXPECT_EQ(*SliceOfParent("a.slice/"), "a.slice");
}

TEST(Slice, RefusesWhatIsNoSlice) {
  for (const std::string& parent :
       {std::string("/kubepods/pod1"), std::string(".slice"), std::string("/a.slice/b"),
        std::string("a--b.slice"), std::string("-a.slice"), std::string("a-.slice"),
        std::string("a b.slice"), std::string("a/.slice"), std::string("a\n.slice"),
        std::string("a.slice/.."), std::string(300, 'a') + ".slice"}) {
    EXPECT_EQ(SliceOfParent(parent).status().code(), absl::StatusCode::kInvalidArgument) << parent;
  }
}

TEST(Scope, NameAndBack) {
  const std::string id(64, 'a');
  EXPECT_EQ(ScopeName(id), "crisp-" + id + ".scope");
  EXPECT_EQ(IdOfScope(ScopeName(id)), id);
  for (const std::string& name : {id, "crisp-" + id, std::string("crisp-a.scope"),
                                  "x-" + id + ".scope", "crisp-" + id + ".scopes"}) {
    EXPECT_EQ(IdOfScope(name), "") << name;
  }
}

std::vector<std::string> Texts(const std::vector<UnitProperty>& properties) {
  std::vector<std::string> texts;
  for (const UnitProperty& p : properties) {
    texts.push_back(p.name + "=" + (p.number == UINT64_MAX ? "max" : std::to_string(p.number)));
  }
  return texts;
}

TEST(ScopeProperties, AreTheSharesAmongSiblings) {
  CgroupLimits limits;
  EXPECT_THAT(Texts(ScopeProperties(limits)), ElementsAre());
  limits.memory_bytes = 100;
  limits.cpu_quota_us = 5000;
  EXPECT_THAT(Texts(ScopeProperties(limits)), ElementsAre());
  limits.cpu_shares = 1024;
  EXPECT_THAT(Texts(ScopeProperties(limits)), ElementsAre("CPUWeight=100"));
  limits.unified = {
      {"cpu.weight", "7"}, {"memory.min", "max"}, {"memory.low", "5"}, {"io.max", "x"}};
  EXPECT_THAT(Texts(ScopeProperties(limits)),
              ElementsAre("CPUWeight=7", "MemoryMin=max", "MemoryLow=5"));
  limits.unified["memory.low"] = "many";
  EXPECT_THAT(Texts(ScopeProperties(limits)), ElementsAre("CPUWeight=7", "MemoryMin=max"));
}

TEST(ScopeProperties, InForceAreThoseOfTheFiles) {
  const std::vector<UnitProperty> asked = {{"CPUWeight", 1}, {"MemoryMin", 1}};
  const auto now = PropertiesInForce(asked, [](const std::string& file) -> StatusOr<std::string> {
    if (file == "cpu.weight") return "100\n";
    if (file == "memory.min") return "max\n";
    return absl::NotFoundError(file);
  });
  ASSERT_TRUE(now.ok()) << now.status();
  EXPECT_THAT(Texts(*now), ElementsAre("CPUWeight=100", "MemoryMin=max"));
  EXPECT_FALSE(PropertiesInForce(asked, [](const std::string&) { return "?"; }).ok());
}

}  // namespace
}  // namespace crisp::runtime
