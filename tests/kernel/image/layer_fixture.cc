#include "layer_fixture.h"

#include <sys/xattr.h>

#include <filesystem>

#include "absl/strings/match.h"

namespace crisp::image {

LayerFixture::LayerFixture() {
  std::filesystem::create_directories(temp_.Sub("host"));
  WriteText(canary_, "alive");
}

StatusOr<std::vector<std::string>> LayerFixture::UnpackAll(const std::vector<std::string>& tars) {
  std::vector<TestLayer> layers;
  for (const std::string& tar : tars) layers.push_back({tar, "none"});
  const std::string directory = temp_.Sub("layout");
  std::filesystem::remove_all(directory);
  WriteLayout(directory, MakeImage(layers));
  auto id = service_->LoadLayout(directory, "test:1", false);
  if (!id.ok()) return id.status();
  auto handle = service_->Acquire(*id);
  if (!handle.ok()) return handle.status();
  handle_ = *std::move(handle);
  EXPECT_TRUE(service_->Remove(*id).ok());
  return handle_.lower_dirs;
}

StatusOr<std::string> LayerFixture::Unpack(const std::string& tar, const std::string& compression) {
  const std::string directory = temp_.Sub("layout");
  std::filesystem::remove_all(directory);
  WriteLayout(directory, MakeImage({{tar, compression}}));
  handle_ = ImageHandle();
  auto id = service_->LoadLayout(directory, "test:1", false);
  if (!id.ok()) return id.status();
  auto handle = service_->Acquire(*id);
  if (!handle.ok()) return handle.status();
  handle_ = *std::move(handle);
  EXPECT_TRUE(service_->Remove(*id).ok());
  return handle_.lower_dirs.at(0);
}

void LayerFixture::ExpectRefused(const std::string& tar, const std::string& text,
                                 const std::string& compression) {
  const auto root = Unpack(tar, compression);
  EXPECT_EQ(root.status().code(), absl::StatusCode::kInvalidArgument) << root.status();
  EXPECT_TRUE(absl::StrContains(root.status().message(), text)) << root.status();
  EXPECT_TRUE(std::filesystem::is_empty(temp_.Sub("images/layers")));
  ExpectHostUntouched();
}

void LayerFixture::ExpectHostUntouched() {
  EXPECT_EQ(ReadText(canary_), "alive");
  size_t files = 0;
  for (const auto& unused : std::filesystem::directory_iterator(temp_.Sub("host"))) {
    static_cast<void>(unused);
    ++files;
  }
  EXPECT_EQ(files, 1U);
}

std::string Xattr(const std::string& path, const std::string& name) {
  char value[256];
  const ssize_t size = lgetxattr(path.c_str(), name.c_str(), value, sizeof(value));
  return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
}

}  // namespace crisp::image
