#include "imageservice/reference.h"

#include <gtest/gtest.h>

namespace crisp::image {
namespace {

const std::string kHex(64, 'a');

TEST(ReferenceTest, CompletesFamiliarNames) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"busybox", "docker.io/library/busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36"},
      {"user/app", "docker.io/user/app:latest"},
      {"docker.io/app", "docker.io/library/app:latest"},
      {"index.docker.io/app", "docker.io/library/app:latest"},
      {"localhost/app", "localhost/app:latest"},
      {"localhost:5000/app:t", "localhost:5000/app:t"},
      {"127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"},
      {"[::1]:5000/app", "[::1]:5000/app:latest"},
      {"registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"},
      {"HOST/app", "HOST/app:latest"},
      {"a.b/c__d/e-f.g--h", "a.b/c__d/e-f.g--h:latest"},
      {"app@sha256:" + kHex, "docker.io/library/app@sha256:" + kHex},
      {"app:tag@sha256:" + kHex, "docker.io/library/app@sha256:" + kHex},
  };
  for (const auto& [text, expected] : cases) {
    const auto reference = ParseReference(text);
    ASSERT_TRUE(reference.ok()) << text << ": " << reference.status();
    EXPECT_EQ(reference->Text(), expected);
  }
  EXPECT_EQ(ParseReference("app:tag@sha256:" + kHex)->tag, "tag");
}

TEST(ReferenceTest, NameLimit) {
  const std::string prefix = "docker.io/library/";  // counts, also where it is implied
  EXPECT_TRUE(ParseReference(std::string(255 - prefix.size(), 'a')).ok());
  EXPECT_FALSE(ParseReference(std::string(256 - prefix.size(), 'a')).ok());
}

TEST(ReferenceTest, RefusesTheRest) {
  for (const std::string& text : {std::string(),
                                  std::string(":tag"),
                                  std::string("app:"),
                                  std::string("App"),
                                  std::string("a/B"),
                                  std::string("a//b"),
                                  std::string("/a"),
                                  std::string("a/"),
                                  std::string("-a"),
                                  std::string("a-"),
                                  std::string("a..b"),
                                  std::string("a___b"),
                                  std::string("a b"),
                                  std::string("../etc/passwd"),
                                  std::string("a/../b"),
                                  std::string("app:-tag"),
                                  std::string("app:" + std::string(129, 't')),
                                  std::string("app@sha256:abc"),
                                  std::string("app@sha512:") + kHex,
                                  std::string("app@sha256:") + std::string(64, 'A'),
                                  std::string("host:99999/app"),
                                  std::string("host:0/app"),
                                  std::string("ho_st:5000/app"),
                                  std::string("[::1/app"),
                                  std::string("https://host/app"),
                                  std::string("user:pw@host/app"),
                                  std::string("a\nb"),
                                  std::string("a\0b", 3),
                                  std::string(300, 'a')}) {
    const auto reference = ParseReference(text);
    EXPECT_EQ(reference.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace crisp::image
