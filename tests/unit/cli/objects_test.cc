#include "cri/cli/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace crisp::cli {
namespace {

using ::testing::HasSubstr;

v1::ListContainersResponse Containers() {
  v1::ListContainersResponse list;
  const struct {
    const char* id;
    const char* name;
    v1::ContainerState state;
  } rows[] = {
      {"aaaa1111", "web", v1::CONTAINER_RUNNING},  {"aaaa2222", "db", v1::CONTAINER_RUNNING},
      {"bbbb3333", "job", v1::CONTAINER_EXITED},   {"bbbb4444", "job", v1::CONTAINER_RUNNING},
      {"cccc5555", "old", v1::CONTAINER_EXITED},   {"cccc6666", "old", v1::CONTAINER_EXITED},
      {"dddd7777", "aaaa1", v1::CONTAINER_RUNNING}};
  for (const auto& row : rows) {
    v1::Container* container = list.add_containers();
    container->set_id(row.id);
    container->mutable_metadata()->set_name(row.name);
    container->set_state(row.state);
  }
  return list;
}

TEST(Objects, ContainerByIdNameOrPrefix) {
  const auto list = Containers();
  EXPECT_EQ(ChooseContainer(list, "aaaa1111")->id(), "aaaa1111");
  EXPECT_EQ(ChooseContainer(list, "aaaa2")->id(), "aaaa2222");
  EXPECT_EQ(ChooseContainer(list, "web")->id(), "aaaa1111");
  EXPECT_EQ(ChooseContainer(list, "job")->id(), "bbbb4444");    // the running one
  EXPECT_EQ(ChooseContainer(list, "aaaa1")->id(), "dddd7777");  // a name beats a prefix
}

TEST(Objects, AmbiguousAndMissing) {
  const auto list = Containers();
  EXPECT_THAT(std::string(ChooseContainer(list, "aaaa").status().message()),
              HasSubstr("is not one but aaaa1111, aaaa2222"));
  EXPECT_THAT(std::string(ChooseContainer(list, "old").status().message()),
              HasSubstr("cccc5555, cccc6666"));
  EXPECT_TRUE(absl::IsNotFound(ChooseContainer(list, "zz").status()));
  EXPECT_TRUE(absl::IsNotFound(ChooseContainer(list, "").status()));
  EXPECT_EQ(ChooseContainer(list, "a\x1b[2J").status().message(), "no container \"a?[2J\"");
}

TEST(Objects, PodByNamespaceAndName) {
  v1::ListPodSandboxResponse list;
  for (const char* space : {"default", "kube-system"}) {
    v1::PodSandbox* pod = list.add_items();
    pod->set_id(absl::StrCat(space, "-id"));
    pod->mutable_metadata()->set_name("dns");
    pod->mutable_metadata()->set_namespace_(space);
  }
  EXPECT_EQ(ChoosePod(list, "kube-system/dns")->id(), "kube-system-id");
  EXPECT_FALSE(ChoosePod(list, "dns").ok());
}

}  // namespace
}  // namespace crisp::cli
