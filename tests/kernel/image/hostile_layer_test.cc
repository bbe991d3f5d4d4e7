// Layers that try to leave their directory or to overload the unpacker (security-faults S30, S31,
// S36, S37; section 2.2).
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "imageservice/content/digest.h"
#include "layer_fixture.h"

namespace crisp::image {
namespace {

using HostileLayerTest = LayerFixture;
using Options = TarBuilder::Options;

Options Type(char type, const std::string& link = "") {
  Options options;
  options.type = type;
  options.link = link;
  return options;
}

std::string Repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST_F(HostileLayerTest, NamesThatLeaveTheRoot) {
  for (const std::string name : {"../x", "a/../../x", "..", "a/..", "/../x", "./../x"}) {
    ExpectRefused(TarBuilder().File(name, "evil").End(), "..");
  }
  const auto root = Unpack(TarBuilder().File(canary_, "evil").File("//b///c", "2").End());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(ReadText(*root + canary_), "evil") << "absolute names are names below the root";
  EXPECT_EQ(ReadText(*root + "/b/c"), "2");
  ExpectHostUntouched();
}

TEST_F(HostileLayerTest, WriteThroughALinkOutOfTheRoot) {
  const std::string host = temp_.Sub("host");
  for (const std::string& target :
       {host, "../../../../../../../.." + host, "/proc/self/root" + host}) {
    const auto root = Unpack(TarBuilder()
                                 .Symlink("out", target)
                                 .File("out/canary", "evil")
                                 .File("out/new", "evil")
                                 .Dir("out/dir", 0777)
                                 .File("out/.wh.canary", "")
                                 .End());
    ExpectHostUntouched();
    if (!root.ok()) continue;
    EXPECT_TRUE(std::filesystem::is_symlink(*root + "/out"));
  }
}

TEST_F(HostileLayerTest, LinkChainsAndLoops) {
  TarBuilder chain;
  for (int i = 0; i < 50; ++i) {
    chain.Symlink(absl::StrCat("l", i), i == 49 ? temp_.Sub("host") : absl::StrCat("l", i + 1));
  }
  ExpectRefused(chain.File("l0/new", "evil").End());
  ExpectRefused(TarBuilder().Symlink("a", "b").Symlink("b", "a").File("a/x", "evil").End());
  ExpectRefused(TarBuilder().Symlink("a", "a").File("a/x", "evil").End());
}

TEST_F(HostileLayerTest, ChmodAndOwnerThroughALink) {
  Options options = Type('0');
  options.mode = 04777;
  options.uid = 12345;
  const auto root = Unpack(TarBuilder().Symlink("l", canary_).Add("l", options).End());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(std::filesystem::is_regular_file(*root + "/l")) << "the last entry replaced the link";
  struct stat info;
  ASSERT_EQ(stat(canary_.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
  ExpectHostUntouched();
}

TEST_F(HostileLayerTest, HardLinksStayInTheLayer) {
  ExpectRefused(TarBuilder().HardLink("h", canary_).End(), "hard link");
  ExpectRefused(TarBuilder().HardLink("h", "../../host/canary").End(), "..");
  ExpectRefused(TarBuilder().HardLink("h", "later").File("later", "1").End(), "not in this layer");
  ExpectRefused(TarBuilder().Dir("d").HardLink("h", "d").End(), "directory");
  ExpectRefused(TarBuilder().HardLink("h", "/").End(), "root");
  ExpectRefused(TarBuilder().File(".wh.w", "").HardLink("h", "w").End(), "not in this layer");
  ExpectRefused(TarBuilder().Symlink("l", temp_.Sub("host")).HardLink("h", "l/canary").End());
  const auto root = Unpack(TarBuilder()
                               .Symlink("l", canary_)
                               .HardLink("h", "l")
                               .File("f", "1")
                               .HardLink("f", "f")
                               .HardLink("g", "f")
                               .File("h", "own")
                               .End());
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(ReadText(*root + "/h"), "own");
  EXPECT_EQ(ReadText(*root + "/g"), "1");
  EXPECT_EQ(std::filesystem::hard_link_count(*root + "/f"), 2U);
  ExpectHostUntouched();
}

TEST_F(HostileLayerTest, RootEntryIsOnlyADirectory) {
  for (const std::string name : {".", "/", "./.", "./", "//"}) {
    for (const char type : {'0', '1', '2', '6'}) {
      if (type == '0' && name.back() == '/') continue;  // V7: a name with a slash is a directory
      ExpectRefused(TarBuilder().Add(name, Type(type, temp_.Sub("host"))).End(), "root");
    }
  }
  const auto root = Unpack(TarBuilder().Dir("./", 0711).File("f", "1").End());
  ASSERT_TRUE(root.ok()) << root.status();
  struct stat info;
  ASSERT_EQ(stat(root->c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0711U);
  EXPECT_EQ(info.st_mtime, 1700000000);
}

TEST_F(HostileLayerTest, NameLimits) {
  const auto pax_path = [](const std::string& path) {
    Options options;
    options.pax = {{"path", path}};
    return TarBuilder().Add("short", options).End();
  };
  const std::string longest(255, 'n');
  EXPECT_TRUE(Unpack(pax_path(longest)).ok());
  ExpectRefused(pax_path(longest + "n"), "255");
  EXPECT_TRUE(Unpack(pax_path(Repeat("d/", 255) + "f")).ok());
  ExpectRefused(pax_path(Repeat("d/", 256) + "f"), "256");
  EXPECT_TRUE(Unpack(pax_path(Repeat(std::string(99, 'p') + "/", 40) + std::string(95, 'f'))).ok());
  ExpectRefused(pax_path(Repeat(std::string(99, 'p') + "/", 40) + std::string(96, 'f')), "4095");
  ExpectRefused(pax_path(std::string("a\0b", 3)), "NUL");
  const auto root = Unpack(pax_path("new\nline \xff\xfe"));
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_TRUE(Exists(*root + "/new\nline \xff\xfe"));
}

TEST_F(HostileLayerTest, BadHeaders) {
  Options bad;
  bad.bad_checksum = true;
  ExpectRefused(TarBuilder().Add("f", bad).End(), "checksum");
  for (const char type : {'M', 'D', 'X', 'z', '\x01'}) {
    ExpectRefused(TarBuilder().Add("f", Type(type)).End(), "type");
  }
  const std::vector<std::pair<std::string, std::string>> records = {
      {"size", "-1"},         {"size", "9223372036854775808"},
      {"size", "x"},          {"uid", "4294967295"},
      {"gid", "-5"},          {"mtime", "yesterday"},
      {"size", "68719476737"}};
  for (const auto& record : records) {
    Options options;
    options.pax = {record};
    ExpectRefused(TarBuilder().Add("f", options).End());
  }
  Options longer;
  longer.declared_size = 1 << 20;
  ExpectRefused(TarBuilder().Add("f", longer).End(), "truncated");
  Options directory = Type('5');
  directory.data = "data";
  ExpectRefused(TarBuilder().Add("d", directory).End(), "directory with data");
  ExpectRefused(TarBuilder().Add("l", Type('2')).End(), "target");
}

TEST_F(HostileLayerTest, BadPaxRecords) {
  const auto raw_pax = [](const std::string& text) {
    return TarBuilder()
        .Raw(TarBuilder::Header("pax", Type('x'), text.size()) + TarBuilder::Pad(text))
        .File("f", "1")
        .End();
  };
  for (const std::string text :
       {"5 a=b\n", "99 path=x\n", "0 path=x\n", "-9 path=x\n", "path=x\n", "11 path=xyz"}) {
    ExpectRefused(raw_pax(text), "PAX");
  }
  ExpectRefused(raw_pax("8 pathx\n"), "PAX");
  ExpectRefused(raw_pax(std::string((1 << 20) + 1, 'x')), "1 MiB");
  Options huge = Type('L');
  huge.declared_size = int64_t{1} << 30;
  ExpectRefused(TarBuilder().Add("././@LongLink", huge).End(), "1 MiB");
  TarBuilder many;
  for (int i = 0; i < 20; ++i) {
    many.Raw(TarBuilder::Header("pax", Type('x'), 12) + TarBuilder::Pad("12 path=abc\n"));
  }
  ExpectRefused(many.File("f", "1").End(), "too many");
}

TEST_F(HostileLayerTest, TruncatedAtEveryBlock) {
  const std::string tar = TarBuilder().Dir("d").File("d/f", std::string(1500, 'x')).End();
  for (size_t size = 512; size + 1024 < tar.size(); size += 512) {
    const auto root = Unpack(tar.substr(0, size));
    const bool at_entry = size == 512 || size + 1024 == tar.size();
    EXPECT_EQ(root.ok(), at_entry) << size << root.status();
  }
  ExpectRefused(tar.substr(0, 700), "truncated");
}

TEST_F(HostileLayerTest, Compression) {
  const std::string tar = TarBuilder().File("f", std::string(100000, 'x')).End();
  const std::string gzip = Gzip(tar), zstd = Zstd(tar);
  // The blob as it is, with a diffID that would fit: only the stream itself can be wrong.
  const auto load = [&](const std::string& blob, const std::string& compression) {
    TestImage image = MakeImage({{tar, compression}});
    const std::string old_digest = DigestOf(image.blobs[0]);
    const std::string old_size = absl::StrCat("\"size\":", image.blobs[0].size(), "}]");
    image.manifest.replace(image.manifest.find(old_digest), 71, DigestOf(blob));
    image.manifest.replace(image.manifest.find(old_size), old_size.size(),
                           absl::StrCat("\"size\":", blob.size(), "}]"));
    image.blobs[0] = blob;
    std::filesystem::remove_all(temp_.Sub("layout"));
    WriteLayout(temp_.Sub("layout"), image);
    const auto id = service_->LoadLayout(temp_.Sub("layout"), "c:1", false);
    if (!id.ok()) return id.status();
    return service_->Remove(*id);
  };
  EXPECT_TRUE(load(gzip, "gzip").ok());
  const std::string half = tar.substr(0, 50000), rest = tar.substr(50000);
  EXPECT_TRUE(load(Gzip(half) + Gzip(rest), "gzip").ok()) << "members";
  EXPECT_TRUE(load(Zstd(half) + Zstd(rest), "zstd").ok()) << "frames";
  const std::vector<std::pair<std::string, std::string>> bad = {
      {gzip.substr(0, gzip.size() - 1), "gzip"},
      {gzip.substr(0, 5), "gzip"},
      {"", "gzip"},
      {gzip + "trailing garbage", "gzip"},
      {"BZh91AY&SY", "gzip"},
      {zstd.substr(0, zstd.size() - 1), "zstd"},
      {"\xfd"
       "7zXZ",
       "zstd"},
      {zstd + "garbage", "zstd"},
      {tar, "gzip"},
      {gzip, "none"},
      {gzip, "zstd"}};
  for (const auto& [blob, compression] : bad) {
    const Status status = load(blob, compression);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument)
        << compression << " " << blob.size() << " " << status;
  }
  // A frame header that asks for a 2 GiB window.
  const Status window =
      load(std::string("\x28\xb5\x2f\xfd\x00\xa8", 6) + std::string(64, 'x'), "zstd");
  EXPECT_EQ(window.code(), absl::StatusCode::kInvalidArgument) << window;
}

TEST_F(HostileLayerTest, PaddingIsBounded) {
  const std::string tar = TarBuilder().File("f", "1").End();
  EXPECT_TRUE(Unpack(tar + std::string(1 << 20, '\0')).ok());
  ExpectRefused(tar + std::string((16 << 20) + 4096, '\0'), "16 MiB", "gzip");
}

TEST_F(HostileLayerTest, SparseMapsThatLie) {
  for (const std::string map :
       {"0,10,5,10", "0,600", "9000000000000000000,10", "0", "a,b", "-1,5", "0,100,1000,100"}) {
    Options options;
    options.data = std::string(200, 'x');
    options.pax = {{"GNU.sparse.map", map}, {"GNU.sparse.size", "1000"}};
    ExpectRefused(TarBuilder().Add("f", options).End(), "parse");
  }
  Options options;
  options.data = "999999999\n" + std::string(502, '1');
  options.pax = {
      {"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.realsize", "1000"}};
  ExpectRefused(TarBuilder().Add("f", options).End(), "sparse map");
}

}  // namespace
}  // namespace crisp::image
