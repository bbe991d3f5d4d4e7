// What a good layer must become: metadata, whiteouts, sparse files, replaced entries, and the same
// tree as GNU tar makes.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layer_fixture.h"

namespace crisp::image {
namespace {

using LayerTest = LayerFixture;
using Options = TarBuilder::Options;

struct stat Lstat(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info;
}

bool IsWhiteout(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

TEST_F(LayerTest, Metadata) {
  Options file;
  file.mode = 06755;
  file.uid = 1000;
  file.gid = 50;
  file.data = "data";
  file.pax = {{"mtime", "1600000000.5"},
              {"uid", "4294967294"},
              {"SCHILY.xattr.user.note", "hello"},
              {"SCHILY.xattr.security.capability",
               std::string("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
              {"SCHILY.xattr.user.overlay.opaque", "y"},
              {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
              {"SCHILY.xattr.security.selinux", "x"}};
  Options bad_capability;
  bad_capability.pax = {{"SCHILY.xattr.security.capability", "short"}};
  Options fifo;
  fifo.type = '6';
  Options device;
  device.type = '3';
  Options old;
  old.pax = {{"mtime", "-5.25"}};
  const auto root = Unpack(TarBuilder()
                               .Dir("dir", 01777)
                               .Add("dir/file", file)
                               .Symlink("dir/link", "/etc/passwd")
                               .Add("fifo", fifo)
                               .Add("null", device)
                               .Add("cap", bad_capability)
                               .Add("old", old)
                               .File("tmp/implied", "1")
                               .End());
  ASSERT_TRUE(root.ok()) << root.status();
  const struct stat info = Lstat(*root + "/dir/file");
  EXPECT_EQ(info.st_mode & 07777, 06755U);
  EXPECT_EQ(info.st_uid, 4294967294U);
  EXPECT_EQ(info.st_gid, 50U);
  EXPECT_EQ(info.st_mtim.tv_sec, 1600000000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 500000000);
  EXPECT_EQ(Xattr(*root + "/dir/file", "user.note"), "hello");
  EXPECT_EQ(Xattr(*root + "/dir/file", "security.capability").size(), 20U);
  for (const char* name : {"user.overlay.opaque", "trusted.overlay.redirect", "security.selinux"}) {
    EXPECT_EQ(Xattr(*root + "/dir/file", name), "") << name;
  }
  EXPECT_EQ(Xattr(*root + "/cap", "security.capability"), "");
  EXPECT_EQ(Lstat(*root + "/dir").st_mode & 07777, 01777U);
  EXPECT_EQ(Lstat(*root + "/dir").st_mtime, 1700000000) << "after its entries were made";
  EXPECT_TRUE(S_ISFIFO(Lstat(*root + "/fifo").st_mode));
  EXPECT_FALSE(Exists(*root + "/null")) << "no devices";
  EXPECT_EQ(Lstat(*root + "/old").st_mtime, 0) << "clamped";
  EXPECT_EQ(Lstat(*root + "/tmp").st_mode & 07777, 01777U) << "what an implied /tmp surely is";
  EXPECT_EQ(std::filesystem::read_symlink(*root + "/dir/link"), "/etc/passwd");
}

TEST_F(LayerTest, LastEntryWins) {
  const auto root = Unpack(TarBuilder()
                               .File("a", "first")
                               .File("a", "second")
                               .Dir("b")
                               .File("b/x", "1")
                               .File("b", "now a file")
                               .File("c", "file")
                               .Dir("c")
                               .File("c/x", "below")
                               .Symlink("d", "nowhere")
                               .Dir("d")
                               .File("d/x", "below")
                               .Dir("e")
                               .File("e/x", "kept")
                               .Dir("e", 0700)
                               .Dir("g")
                               .File("g/in", "1")
                               .Symlink("g", "e")
                               .File("g/through", "link")
                               .End());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(ReadText(*root + "/a"), "second");
  EXPECT_EQ(ReadText(*root + "/b"), "now a file");
  EXPECT_EQ(ReadText(*root + "/c/x"), "below");
  EXPECT_EQ(ReadText(*root + "/d/x"), "below");
  EXPECT_EQ(ReadText(*root + "/e/x"), "kept");
  EXPECT_EQ(Lstat(*root + "/e").st_mode & 07777, 0700U);
  EXPECT_EQ(ReadText(*root + "/e/through"), "link") << "links to directories inside are followed";
  EXPECT_FALSE(Exists(*root + "/d/nowhere"));
}

TEST_F(LayerTest, Whiteouts) {
  const auto root = Unpack(TarBuilder()
                               .File("gone/.wh.file", "")
                               .Dir("opaque")
                               .File("opaque/before", "1")
                               .File("opaque/.wh..wh..opq", "")
                               .File("opaque/after", "2")
                               .File("own", "stays")
                               .File(".wh.own", "")
                               .Dir("owndir")
                               .File(".wh.owndir", "")
                               .File(".wh.redone", "")
                               .Dir("redone")
                               .File(".wh.implied", "")
                               .File("implied/x", "1")
                               .File(".wh..wh.aufs", "")
                               .Dir(".wh..wh.plnk")
                               .End());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(IsWhiteout(*root + "/gone/file"));
  EXPECT_EQ(Xattr(*root + "/opaque", "user.overlay.opaque"), "y");
  EXPECT_EQ(ReadText(*root + "/opaque/before"), "1");
  EXPECT_EQ(ReadText(*root + "/opaque/after"), "2");
  EXPECT_EQ(ReadText(*root + "/own"), "stays");
  EXPECT_EQ(Xattr(*root + "/owndir", "user.overlay.opaque"), "y");
  EXPECT_EQ(Xattr(*root + "/redone", "user.overlay.opaque"), "y");
  EXPECT_EQ(Xattr(*root + "/implied", "user.overlay.opaque"), "y");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(*root)) {
    EXPECT_FALSE(absl::StartsWith(entry.path().filename().string(), ".wh.")) << entry.path();
  }
  for (const std::string name : {".wh.", ".wh..", ".wh...", "d/.wh.", ".wh.a/b", "d/.wh..wh.x/y"}) {
    ExpectRefused(TarBuilder().File(name, "").End(), "whiteout");
  }
}

// The kernel's own overlay, as a container sees it.
TEST_F(LayerTest, OverlayHidesWhatTheLayersSay) {
  const auto dirs = UnpackAll({TarBuilder()
                                   .File("etc/a", "old")
                                   .File("etc/b", "kept")
                                   .File("opt/x", "hidden")
                                   .File("var/y", "hidden")
                                   .End(),
                               TarBuilder()
                                   .File("etc/.wh.a", "")
                                   .File(".wh.var", "")
                                   .Dir("opt")
                                   .File("opt/.wh..wh..opq", "")
                                   .File("opt/new", "1")
                                   .End()});
  ASSERT_TRUE(dirs.ok()) << dirs.status();
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string merged = temp_.Sub("merged");
  std::filesystem::create_directories(merged);
  const std::string options = absl::StrCat("userxattr,lowerdir=", absl::StrJoin(*dirs, ":"));
  ASSERT_EQ(mount("overlay", merged.c_str(), "overlay", MS_RDONLY, options.c_str()), 0);
  EXPECT_FALSE(Exists(merged + "/etc/a"));
  EXPECT_EQ(ReadText(merged + "/etc/b"), "kept");
  EXPECT_FALSE(Exists(merged + "/opt/x"));
  EXPECT_EQ(ReadText(merged + "/opt/new"), "1");
  EXPECT_FALSE(Exists(merged + "/var"));
  EXPECT_EQ(umount(merged.c_str()), 0);
}

TEST_F(LayerTest, OpaqueRootHidesAllLayersBelow) {
  const auto dirs = UnpackAll({TarBuilder().File("old", "1").End(),
                               TarBuilder().File(".wh..wh..opq", "").File("new", "2").End()});
  ASSERT_TRUE(dirs.ok()) << dirs.status();
  ASSERT_EQ(dirs->size(), 1U);
  EXPECT_TRUE(Exists(dirs->at(0) + "/new"));
}

// A tree with a bit of everything, packed by GNU tar in each format.
class GnuTarTest : public LayerTest {
 protected:
  void MakeTree(const std::string& tree) {
    namespace fs = std::filesystem;
    fs::create_directories(tree + "/" + std::string(120, 'd') + "/" + std::string(120, 'e'));
    WriteText(tree + "/" + std::string(120, 'd') + "/" + std::string(120, 'e') + "/" +
                  std::string(120, 'f'),
              "long");
    fs::create_symlink(std::string(200, 'l'), tree + "/longlink");
    WriteText(tree + "/file", std::string(100000, 'x'));
    fs::create_hard_link(tree + "/file", tree + "/hard");
    EXPECT_EQ(mkfifo((tree + "/fifo").c_str(), 0620), 0);
    WriteText(tree + "/empty", "");
    EXPECT_EQ(chown((tree + "/empty").c_str(), 3000000, 70000), 0);  // base-256 in GNU format
    EXPECT_EQ(chmod((tree + "/empty").c_str(), 04711), 0);
    const int fd = open((tree + "/sparse").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(pwrite(fd, "hole", 4, int64_t{i} << 20), 4);
    EXPECT_EQ(ftruncate(fd, int64_t{64} << 20), 0);
    close(fd);
  }
  // type, mode, owner, size, time, links and content of each path
  static std::string Describe(const std::string& tree) {
    std::vector<std::string> lines;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(tree)) {
      const std::string path = entry.path().string();
      const struct stat info = Lstat(path);
      std::string line = absl::StrCat(path.substr(tree.size()), " ", info.st_mode, " ", info.st_uid,
                                      ":", info.st_gid, " ", info.st_mtim.tv_sec);
      if (!S_ISDIR(info.st_mode)) absl::StrAppend(&line, " ", info.st_size, " ", info.st_nlink);
      if (S_ISLNK(info.st_mode)) {
        absl::StrAppend(&line, " ", std::filesystem::read_symlink(path).string());
      }
      if (S_ISREG(info.st_mode)) {
        absl::StrAppend(&line, " ", std::hash<std::string>()(ReadText(path)));
      }
      lines.push_back(line);
    }
    std::sort(lines.begin(), lines.end());
    return absl::StrJoin(lines, "\n");
  }
};

TEST_F(GnuTarTest, SameTreeInEveryFormat) {
  const std::string tree = temp_.Sub("tree");
  MakeTree(tree);
  for (const std::string format :
       {"--format=gnu", "--format=posix", "--format=gnu --sparse", "--format=posix --sparse",
        "--format=posix --sparse --sparse-version=0.0",
        "--format=posix --sparse --sparse-version=0.1",
        "--format=posix --sparse --sparse-version=1.0"}) {
    const std::string file = temp_.Sub("tree.tar");
    const std::string command = absl::StrCat("tar -C ", tree, " ", format, " -cf ", file, " .");
    ASSERT_EQ(system(command.c_str()), 0) << command;
    const auto root = Unpack(ReadText(file), "gzip");
    ASSERT_TRUE(root.ok()) << format << ": " << root.status();
    EXPECT_EQ(Describe(*root), Describe(tree)) << format;
    if (absl::StrContains(format, "--sparse")) {
      EXPECT_LT(Lstat(*root + "/sparse").st_blocks * 512, 1 << 20) << format;
    }
  }
}

TEST_F(LayerTest, FullDiskLeavesNothing) {
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string small = temp_.Sub("small");
  std::filesystem::create_directories(small);
  ASSERT_EQ(mount("tmpfs", small.c_str(), "tmpfs", 0, "size=4m"), 0);
  {
    const auto service = OpenService(small + "/images");
    WriteLayout(temp_.Sub("layout"),
                MakeImage({{TarBuilder().File("f", std::string(8 << 20, 'x')).End()}}));
    const auto id = service->LoadLayout(temp_.Sub("layout"), "big:1", false);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kResourceExhausted) << id.status();
    EXPECT_TRUE(service->List().empty());
    EXPECT_TRUE(std::filesystem::is_empty(small + "/images/layers"));
  }
  EXPECT_EQ(umount(small.c_str()), 0);
}

}  // namespace
}  // namespace crisp::image
