// CDI specifications: what is read, what is refused, and that JSON and YAML say the same.
#include "cri/cdi/cdi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Spec(const std::string& edits) {
  return R"({"cdiVersion":"1.1.0","kind":"v.com/c","devices":[{"name":"d","containerEdits":)" +
         edits + "}]}";
}

std::string Error(const StatusOr<CdiSpec>& spec) { return std::string(spec.status().message()); }

TEST(Cdi, ReadsAllOfASpecification) {
  const auto spec = ParseCdiJson(R"({
    "cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "annotations": {"a": "b"},
    "containerEdits": {"env": ["A=b=c", "EMPTY="]},
    "devices": [{"name": "gpu:0.x", "annotations": {}, "containerEdits": {
      "deviceNodes": [{"path": "/dev/g", "hostPath": "/dev/h", "type": "u", "major": 195,
                       "minor": 255, "fileMode": 438, "permissions": "rw", "uid": 1, "gid": 2}],
      "mounts": [{"hostPath": "/a", "containerPath": "/b", "options": ["ro"], "type": "bind"}],
      "additionalGids": [5, 0], "hooks": []}}]})");
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->common.env, ElementsAre("A=b=c", "EMPTY="));
  const CdiEdits& edits = spec->devices.at("gpu:0.x");
  ASSERT_EQ(edits.nodes.size(), 1u);
  EXPECT_EQ(edits.nodes[0].type, 'c');
  EXPECT_EQ(edits.nodes[0].major, 195);
  EXPECT_EQ(edits.nodes[0].mode, 0666u);
  EXPECT_EQ(edits.nodes[0].gid, 2u);
  EXPECT_THAT(edits.mounts[0].options, ElementsAre("ro"));
  EXPECT_THAT(edits.gids, ElementsAre(5u));
  EXPECT_EQ(edits.unsupported, "");
}

TEST(Cdi, YamlSaysTheSame) {
  const auto spec = ParseCdiYaml(R"(---
# generated
cdiVersion: 0.5.0
kind: vendor.com/gpu
containerEdits:
  hooks:
devices:
  - name: "0"
    containerEdits:
      env: [ "A=1", 'B=two words' ]
      deviceNodes:
      - path: /dev/g
        major: 195
        minor: 0
        type: c
        fileMode: 0666
      - {path: /dev/h, fileMode: 0o640}
)");
  ASSERT_TRUE(spec.ok()) << spec.status();
  const CdiEdits& edits = spec->devices.at("0");
  EXPECT_THAT(edits.env, ElementsAre("A=1", "B=two words"));
  EXPECT_EQ(edits.nodes[0].major, 195);
  EXPECT_EQ(edits.nodes[0].mode, 0666u);
  EXPECT_EQ(edits.nodes[1].mode, 0640u);
}

TEST(Cdi, RefusesWhatItDoesNotKnow) {
  const std::pair<std::string, std::string> cases[] = {
      {"{", "JSON"},
      {"[]", "must be an object"},
      {R"({"kind":"v.com/c"})", "cdiVersion"},
      {R"({"cdiVersion":"2.0.0","kind":"v.com/c","devices":[]})", "2.0.0"},
      {R"({"cdiVersion":"1.0.0","kind":"v.com/c","devices":[]})", "there are none"},
      {R"({"cdiVersion":"1.0.0","kind":"v.com","devices":[]})", "vendor/class"},
      {R"({"cdiVersion":"1.0.0","kind":"/c","devices":[]})", "vendor/class"},
      {R"({"cdiVersion":"1.0.0","kind":"v/c","devices":[{"name":"d"}]})", "no containerEdits"},
      {R"({"cdiVersion":"1.0.0","kind":"v/c","devices":[{"name":"a b","containerEdits":{}}]})",
       "no device name"},
      {R"({"cdiVersion":"1.0.0","kind":"v/c","devices":[{"name":"d","containerEdits":{}},
          {"name":"d","containerEdits":{}}]})",
       "twice"},
      {Spec(R"({"unknown":1})"), "unknown member"},
      {Spec(R"({"env":["A"]})"), "NAME=value"},
      {Spec(R"({"env":["=x"]})"), "NAME=value"},
      {Spec(R"({"env":[1]})"), "must be a string"},
      {Spec(R"({"env":{}})"), "must be an array"},
      {Spec(R"({"deviceNodes":[{}]})"), "path"},
      {Spec(R"({"deviceNodes":[{"path":"/dev/x","type":"p"}]})"), "neither b, c nor u"},
      {Spec(R"({"deviceNodes":[{"path":"/dev/x","major":-1}]})"), "must be 0"},
      {Spec(R"({"deviceNodes":[{"path":"/dev/x","major":18446744073709551615}]})"), "too large"},
      {Spec(R"({"deviceNodes":[{"path":"/dev/x","minor":1.5}]})"), "whole number"},
      {Spec(R"({"mounts":[{"hostPath":"/a"}]})"), "containerPath"},
      {Spec(R"({"additionalGids":[4294967295]})"), "must be 0"}};
  for (const auto& [text, why] : cases) {
    const auto spec = ParseCdiJson(text);
    EXPECT_TRUE(absl::IsInvalidArgument(spec.status())) << text;
    EXPECT_THAT(Error(spec), HasSubstr(why)) << text;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(
      ParseCdiJson(Spec(R"({"env":[")" + std::string(5000, 'A') + R"(=x"]})")).status()));
}

TEST(Cdi, RefusesYamlThatIsNoPlainDocument) {
  const std::string deep(40, '[');
  for (const std::string& text :
       {std::string(""), std::string("a: &x 1\nb: *x\n"), std::string("a: 1\na: 2\n"),
        std::string("--- 1\n--- 2\n"), deep, std::string("? [a]\n: b\n"), std::string("\x01"),
        std::string("a: [1\n"), std::string(5 << 20, ' ')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCdiYaml(text).status())) << text.substr(0, 40);
  }
}

TEST(Cdi, NamesWhatItDoesNotDo) {
  const auto named = [](const std::string& edits) {
    const auto spec = ParseCdiJson(Spec(edits));
    EXPECT_TRUE(spec.ok()) << spec.status();
    return spec.ok() ? spec->devices.at("d").unsupported : "";
  };
  EXPECT_EQ(named(R"({"hooks":[{"hookName":"prestart","path":"/h","args":["a"]}]})"),
            "the hook prestart /h");
  EXPECT_EQ(named(R"({"intelRdt":{"closID":"x"}})"), "intelRdt");
  EXPECT_EQ(named(R"({"netDevices":[{"hostInterfaceName":"eth1","name":"x"}]})"), "netDevices");
  EXPECT_EQ(named(R"({"mounts":[{"hostPath":"/a","containerPath":"/b","type":"tmpfs"}]})"),
            "a mount of type tmpfs");
}

TEST(Cdi, EditsComeBackFromTheJournal) {
  const auto spec = ParseCdiJson(
      Spec(R"({"env":["A=1"],"deviceNodes":[{"path":"/dev/x","type":"b","major":7,"minor":0,
        "fileMode":432,"uid":3}],"mounts":[{"hostPath":"/a","containerPath":"/b",
        "options":["ro","nosuid"]}],"additionalGids":[9]})"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  const std::string text = CdiEditsToJson(spec->devices.at("d"));
  const auto again = CdiEditsFromJson(text);
  ASSERT_TRUE(again.ok()) << again.status() << " " << text;
  EXPECT_EQ(CdiEditsToJson(*again), text);
  EXPECT_EQ(again->nodes[0].type, 'b');
  EXPECT_EQ(again->nodes[0].mode, 0660u);
  EXPECT_THAT(again->mounts[0].options, ElementsAre("ro", "nosuid"));
  EXPECT_THAT(again->gids, ElementsAre(9u));
}

}  // namespace
}  // namespace crisp::cri
