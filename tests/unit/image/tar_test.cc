// The tar reader's parts, without files: numbers, PAX records, path cleaning, xattr filter.
#include <gtest/gtest.h>

#include "imageservice/layers/decompress.h"
#include "imageservice/layers/entry_metadata.h"
#include "imageservice/layers/layer_tree.h"
#include "imageservice/layers/tar_header.h"
#include "imageservice/layers/tar_pax.h"

namespace crisp::image {
namespace {

using std::string_literals::operator""s;

TEST(TarNumberTest, OctalAndBase256) {
  const std::vector<std::pair<std::string, int64_t>> good = {
      {"0000644\0"s, 0644},
      {"   644 \0"s, 0644},
      {"\0\0\0\0\0\0\0\0"s, 0},
      {"77777777"s, 077777777},
      {"\x80\0\0\0\0\0\0\x05"s, 5},
      {"\x80\0\0\0\0\x01\0\0\0\0\0\0"s, int64_t{1} << 48},
      {"\xff\xff\xff\xff\xff\xff\xff\xfe"s, -2},
      {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s, -1}};
  for (const auto& [text, expected] : good) {
    int64_t value = 99;
    EXPECT_TRUE(ParseTarNumber(text, &value)) << text;
    EXPECT_EQ(value, expected) << text;
  }
  for (const std::string& text :
       {"0000648\0"s, "garbage\0"s, "-000001\0"s, "12 34\0\0\0"s, "7777777777777777777777"s,
        "\x80\0\0\x01\0\0\0\0\0\0\0\0"s, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"s}) {
    int64_t value = 0;
    EXPECT_FALSE(ParseTarNumber(text, &value)) << text;
  }
}

TEST(PaxTest, Records) {
  PaxRecords good;
  ASSERT_TRUE(ParsePax("12 path=a=b\n11 uid=123\n", &good).ok());
  EXPECT_EQ(*good.path, "a=b");
  EXPECT_EQ(*good.uid, 123);
  PaxRecords time;
  ASSERT_TRUE(ParsePax("15 mtime=-1.25\n", &time).ok());
  EXPECT_EQ(*time.mtime, -2);
  EXPECT_EQ(time.mtime_nanos, 750000000);
}

TEST(CleanPathTest, Forms) {
  EntryPath path;
  ASSERT_TRUE(CleanPath("/a/./b//c/", &path).ok());
  EXPECT_EQ(path.directory, "a/b");
  EXPECT_EQ(path.leaf, "c");
  ASSERT_TRUE(CleanPath("./", &path).ok());
  EXPECT_TRUE(path.leaf.empty());
  ASSERT_TRUE(CleanPath("...", &path).ok());
  EXPECT_EQ(path.leaf, "...");
  for (const char* text : {"..", "a/..", "../a", "a/../b", "/..", ".wh.x/y"}) {
    EXPECT_FALSE(CleanPath(text, &path).ok()) << text;
  }
}

TEST(XattrTest, Filter) {
  const std::string v2 = std::string("\x01\0\0\x02", 4) + std::string(16, '\0');
  const std::string v3 = std::string("\x01\0\0\x03", 4) + std::string(20, '\0');
  EXPECT_TRUE(AllowedXattr("security.capability", v2));
  EXPECT_TRUE(AllowedXattr("security.capability", v3));
  EXPECT_FALSE(AllowedXattr("security.capability", v2 + "x"));
  EXPECT_FALSE(AllowedXattr("security.capability", ""));
  EXPECT_TRUE(AllowedXattr("user.x", ""));
  for (const char* name : {"user.overlay.opaque", "user.overlay.redirect", "trusted.x", "system.x",
                           "trusted.overlay.opaque", "security.selinux", "security.ima", "x"}) {
    EXPECT_FALSE(AllowedXattr(name, "y")) << name;
  }
}

TEST(DecoderTest, UnknownName) { EXPECT_EQ(MakeDecoder("xz"), nullptr); }

}  // namespace
}  // namespace crisp::image
