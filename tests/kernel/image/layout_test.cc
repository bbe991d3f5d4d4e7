// Images from OCI layouts: load, find, acquire, remove, restart. Real unpacker, real file system.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "fixture.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

class LayoutTest : public testing::Test {
 protected:
  std::string Load(const std::vector<TestLayer>& layers, const std::string& tag,
                   const std::string& process = "{}") {
    const std::string directory = temp_.Sub("layout" + std::to_string(++count_));
    WriteLayout(directory, MakeImage(layers, process));
    const auto id = service_->LoadLayout(directory, tag, false);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.ok() ? *id : "";
  }
  std::string Layers() { return temp_.Sub("images/layers"); }
  size_t LayerCount() {
    size_t count = 0;
    for (const auto& unused : std::filesystem::directory_iterator(Layers())) {
      static_cast<void>(unused);
      ++count;
    }
    return count;
  }

  TempDir temp_;
  int count_ = 0;
  std::unique_ptr<ImageService> service_ = OpenService(temp_.Sub("images"));
};

TEST_F(LayoutTest, BuiltInImage) {
  const auto id = service_->LoadLayout(CRISP_BUILTIN_IMAGE, "crisp.local/busybox:latest", true);
  ASSERT_TRUE(id.ok()) << id.status();
  const auto found = service_->Find("crisp.local/busybox");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->id, *id);
  EXPECT_TRUE((*found)->pinned);
  EXPECT_GT((*found)->size, 100000U);
  EXPECT_EQ((*found)->config.cmd, std::vector<std::string>{"sh"});
  EXPECT_EQ((*found)->repo_tags, std::vector<std::string>{"crisp.local/busybox:latest"});
  const auto handle = service_->Acquire(*id);
  ASSERT_TRUE(handle.ok());
  ASSERT_EQ(handle->lower_dirs.size(), 1U);
  EXPECT_TRUE(Exists(handle->lower_dirs[0] + "/bin/busybox"));
  EXPECT_EQ(std::filesystem::read_symlink(handle->lower_dirs[0] + "/bin/sh"), "/bin/busybox");
  struct stat info;
  ASSERT_EQ(stat((handle->lower_dirs[0] + "/tmp").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777U);
}

TEST_F(LayoutTest, FindsByEveryForm) {
  const std::string id =
      Load({{TarBuilder().File("a", "1").End()}}, "reg.example.com/app:v1",
           R"({"Env":["A=b"],"Entrypoint":["/e"],"Cmd":["c"],"User":"7:8","WorkingDir":"/w",)"
           R"("Labels":{"k":"v"},"Volumes":{"/data":{}},"StopSignal":"SIGINT"})");
  const std::string hex = id.substr(7);
  const auto info = *service_->Find("reg.example.com/app:v1");
  ASSERT_TRUE(info.has_value());
  for (const std::string& form :
       {id, hex, hex.substr(0, 12), "sha256:" + hex.substr(0, 8), info->repo_digests.at(0),
        "reg.example.com/app:ignored@" + info->repo_digests.at(0).substr(20)}) {
    const auto found = service_->Find(form);
    ASSERT_TRUE(found.ok() && found->has_value()) << form;
    EXPECT_EQ((*found)->id, id) << form;
  }
  const std::vector<std::string> absent = {"reg.example.com/app:v2", "app",
                                           "sha256:" + std::string(64, '0'), "no such ref!", ""};
  for (const std::string& form : absent) {
    const auto found = service_->Find(form);
    EXPECT_TRUE(found.ok() && !found->has_value()) << form;
  }
  EXPECT_EQ(info->config.env, std::vector<std::string>{"A=b"});
  EXPECT_EQ(info->config.entrypoint, std::vector<std::string>{"/e"});
  EXPECT_EQ(info->config.user, "7:8");
  EXPECT_EQ(info->config.working_dir, "/w");
  EXPECT_EQ(info->config.stop_signal, "SIGINT");
  EXPECT_EQ(info->config.labels.at("k"), "v");
  EXPECT_EQ(info->config.volumes, std::vector<std::string>{"/data"});
  EXPECT_EQ(service_->Acquire("absent:1").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LayoutTest, LayersAreSharedAndGoWithTheLastHolder) {
  const TestLayer base{TarBuilder().File("base", "1").End()};
  Load({base, {TarBuilder().File("x", "1").End()}}, "a:1");
  Load({base, {TarBuilder().File("y", "1").End(), "zstd"}}, "b:1");
  EXPECT_EQ(LayerCount(), 3U);
  ASSERT_TRUE(service_->Remove("a:1").ok());
  EXPECT_EQ(LayerCount(), 2U);
  EXPECT_FALSE(service_->Find("a:1")->has_value());
  EXPECT_TRUE(service_->Remove("a:1").ok()) << "absent is fine";
  auto handle = service_->Acquire("b:1");
  ASSERT_TRUE(handle.ok());
  ASSERT_TRUE(service_->Remove("b:1").ok());
  EXPECT_TRUE(service_->List().empty());
  EXPECT_EQ(ReadText(handle->lower_dirs[0] + "/y"), "1") << "a container still uses it";
  EXPECT_EQ(ReadText(handle->lower_dirs[1] + "/base"), "1");
  handle = absl::UnknownError("released");
  EXPECT_EQ(LayerCount(), 0U);
  EXPECT_EQ(service_->Usage()->used_bytes, 0U);
}

TEST_F(LayoutTest, TagMovesToTheNewImage) {
  const std::string first = Load({{TarBuilder().File("v", "1").End()}}, "app:latest");
  const std::string second = Load({{TarBuilder().File("v", "2").End()}}, "app:latest");
  EXPECT_EQ((*service_->Find("app"))->id, second);
  const auto old = *service_->Find(first);
  ASSERT_TRUE(old.has_value());
  EXPECT_TRUE(old->repo_tags.empty());
  EXPECT_EQ(old->repo_digests.size(), 1U);
  ASSERT_TRUE(service_->Remove(first).ok());
  EXPECT_EQ((*service_->Find("app"))->id, second);
}

TEST_F(LayoutTest, SurvivesARestart) {
  const std::string id = Load({{TarBuilder().File("f", "kept").End()}}, "app:1");
  Load({{TarBuilder().File("g", "other").End()}}, "app:2");
  const uint64_t used = service_->Usage()->used_bytes;
  service_.reset();
  EXPECT_FALSE(Exists(temp_.Sub("images/in-use")));
  std::filesystem::create_directories(Layers() + "/new-half/fs/x");
  service_ = OpenService(temp_.Sub("images"));
  EXPECT_FALSE(Exists(Layers() + "/new-half"));
  EXPECT_EQ(service_->List().size(), 2U);
  EXPECT_EQ(service_->Usage()->used_bytes, used);
  const auto handle = service_->Acquire("app:1");
  ASSERT_TRUE(handle.ok());
  EXPECT_EQ(handle->info.id, id);
  EXPECT_EQ(ReadText(handle->lower_dirs[0] + "/f"), "kept");
}

TEST_F(LayoutTest, DamageFoundAfterAPowerLoss) {
  Load({{TarBuilder().File("f", "kept").End()}}, "good:1");
  Load({{TarBuilder().File("f", "lost").End()}}, "bad:1");
  const std::string lower = service_->Acquire("bad:1")->lower_dirs[0];
  Load({{TarBuilder().File("f", "torn").End()}}, "torn:1");
  const std::string torn = temp_.Sub("images/records/") + (*service_->Find("torn:1"))->id.substr(7);
  service_.reset();
  WriteText(lower + "/f", "");
  WriteText(torn, ReadText(torn).substr(0, 200));
  WriteText(temp_.Sub("images/in-use"), "another boot");
  service_ = OpenService(temp_.Sub("images"));
  EXPECT_TRUE(service_->Find("good:1")->has_value());
  EXPECT_FALSE(service_->Find("bad:1")->has_value());
  EXPECT_FALSE(service_->Find("torn:1")->has_value());
  EXPECT_EQ(LayerCount(), 1U);
}

TEST_F(LayoutTest, SecondDaemonOnTheStoreIsRefused) {
  const auto second = ImageService::Open(OptionsFor(temp_.Sub("images")));
  EXPECT_FALSE(second.ok());
}

TEST_F(LayoutTest, FoldersAreClosedToOthers) {
  Load({{TarBuilder().File("f", "1").End()}}, "app:1");
  for (const char* name : {"layers", "records", "trash"}) {
    struct stat info;
    ASSERT_EQ(stat(temp_.Sub("images/" + std::string(name)).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700U) << name;
  }
}

TEST_F(LayoutTest, RefusesDamagedLayouts) {
  const TestImage good = MakeImage({{TarBuilder().File("f", "1").End()}});
  TestImage image = good;
  const std::string directory = temp_.Sub("damaged");
  WriteLayout(directory, image);
  const std::string blob = directory + "/blobs/sha256/" + HexOf(DigestOf(image.blobs[0]));
  std::string bytes = image.blobs[0];
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  WriteText(blob, bytes);
  auto id = service_->LoadLayout(directory, "x:1", false);
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(id.status().message()).find(DigestOf(bytes)), std::string::npos)
      << id.status();
  WriteText(blob, image.blobs[0].substr(0, 40));
  id = service_->LoadLayout(directory, "x:1", false);
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << id.status();
  WriteText(directory + "/blobs/sha256/" + HexOf(DigestOf(image.config)), good.config + " ");
  id = service_->LoadLayout(directory, "x:1", false);
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << id.status();
  EXPECT_TRUE(service_->List().empty());
  EXPECT_EQ(LayerCount(), 0U);
  EXPECT_EQ(service_->LoadLayout(temp_.Sub("absent"), "x:1", false).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace crisp::image
