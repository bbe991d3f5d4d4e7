#include "imageservice/manifest.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "imageservice/content/digest.h"
#include "imageservice/image_record.h"

namespace crisp::image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'b');
constexpr char kManifest[] = "application/vnd.oci.image.manifest.v1+json";
constexpr char kIndex[] = "application/vnd.oci.image.index.v1+json";

IndexEntry Entry(const std::string& os, const std::string& architecture, const std::string& variant,
                 char fill) {
  IndexEntry entry;
  entry.descriptor = {kManifest, "sha256:" + std::string(64, fill), 1};
  entry.has_platform = !os.empty();
  entry.os = os;
  entry.architecture = architecture;
  entry.variant = variant;
  return entry;
}

std::string Layers(size_t count) {
  std::string list;
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ",",
                    R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")",
                    kDigest, R"(","size":10})");
  }
  return absl::StrCat(
      R"({"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",)",
      R"("digest":")", kDigest, R"(","size":20},"layers":[)", list, "]}");
}

TEST(ManifestTest, LayerLimit) {
  EXPECT_EQ(ParseManifest(Layers(499), kManifest)->layers.size(), 499U);
  EXPECT_EQ(ParseManifest(Layers(500), kManifest)->layers.size(), 500U);
  EXPECT_FALSE(ParseManifest(Layers(501), kManifest).ok());
  EXPECT_FALSE(ParseManifest(Layers(0), kManifest).ok());
}

TEST(ManifestTest, TypeMustAgree) {
  EXPECT_TRUE(
      ParseManifest(Layers(1), "application/vnd.oci.image.manifest.v1+json; charset=utf-8").ok());
  EXPECT_FALSE(ParseManifest(Layers(1), "").ok()) << "nobody says what it is";
  EXPECT_FALSE(ParseManifest(Layers(1), "text/html").ok());
  EXPECT_FALSE(ParseManifest(Layers(1), kIndex).ok());
  const std::string own =
      std::string("{\"mediaType\":\"") + kManifest + "\"," + Layers(1).substr(1);
  EXPECT_TRUE(ParseManifest(own, "application/octet-stream").ok()) << "the document says it";
  EXPECT_FALSE(ParseManifest(own, kIndex).ok());
}

TEST(ManifestTest, IndexLimit) {
  const auto index = [](size_t count) {
    std::string list;
    for (size_t i = 0; i < count; ++i) {
      absl::StrAppend(&list, i == 0 ? "" : ",", R"({"mediaType":")", kManifest, R"(","digest":")",
                      kDigest, R"(","size":1})");
    }
    return absl::StrCat(R"({"schemaVersion":2,"manifests":[)", list, "]}");
  };
  EXPECT_TRUE(ParseManifest(index(1024), kIndex).ok());
  EXPECT_FALSE(ParseManifest(index(1025), kIndex).ok());
}

TEST(ManifestTest, PlatformChoice) {
#if defined(__x86_64__)
  const std::string mine = "amd64";
#else
  const std::string mine = "arm64";
#endif
  const auto chosen =
      ChoosePlatform({Entry("unknown", "unknown", "", '1'), Entry("windows", mine, "", '2'),
                      Entry("linux", "s390x", "", '3'), Entry("linux", mine, "v3", '4'),
                      Entry("linux", mine, "", '5')});
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->digest, "sha256:" + std::string(64, '5'));
  EXPECT_EQ(ChoosePlatform({Entry("linux", mine, "v99", '1')}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(ChoosePlatform({}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(ChoosePlatform({Entry("", "", "", '1')}).ok()) << "alone and for everybody";
  EXPECT_FALSE(ChoosePlatform({Entry("", "", "", '1'), Entry("", "", "", '2')}).ok());
}

TEST(ManifestTest, LayerTypes) {
  EXPECT_EQ(*CompressionOf("application/vnd.oci.image.layer.v1.tar"), "none");
  EXPECT_EQ(*CompressionOf("application/vnd.oci.image.layer.v1.tar+gzip"), "gzip");
  EXPECT_EQ(*CompressionOf("application/vnd.oci.image.layer.v1.tar+zstd"), "zstd");
  EXPECT_EQ(*CompressionOf("application/vnd.docker.image.rootfs.diff.tar.gzip"), "gzip");
  for (const std::string type :
       {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+encrypted", "application/vnd.erofs", ""}) {
    EXPECT_FALSE(CompressionOf(type).ok()) << type;
  }
}

TEST(ImageConfigTest, HostileConfigs) {
  const std::string rootfs =
      absl::StrCat(R"("rootfs":{"type":"layers","diff_ids":[")", kDigest, R"("]})");
  EXPECT_TRUE(ParseImageConfig("{" + rootfs + "}").ok());
  EXPECT_EQ(ParseImageConfig("{\"config\":{\"Cmd\":\"sh\"}," + rootfs + "}")->config.cmd,
            std::vector<std::string>{"sh"});
  for (const std::string& text :
       {std::string("{}"), std::string("[]"), std::string(R"({"rootfs":{"type":"other"}})"),
        std::string(R"({"rootfs":{"type":"layers","diff_ids":["sha256:../.."]}})"),
        "{\"config\":{\"Env\":[1]}," + rootfs + "}",
        "{\"config\":{\"Env\":[\"a\\u0000b\"]}," + rootfs + "}",
        "{\"config\":{\"Env\":{}}," + rootfs + "}",
        "{\"config\":{\"User\":\"a\\u0000\"}," + rootfs + "}",
        "{\"config\":{\"Labels\":{\"a\":1}}," + rootfs + "}",
        "{\"config\":{\"Volumes\":[]}," + rootfs + "}"}) {
    EXPECT_EQ(ParseImageConfig(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ImageConfigTest, ChainIds) {
  const auto chain = ChainIds({kDigest, kDigest});
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[0], kDigest);
  EXPECT_EQ(chain[1], DigestOf(kDigest + " " + kDigest));
}

TEST(ImageRecordTest, RoundTripAndDamage) {
  ImageRecord record;
  record.config_json = "{\"x\":\"\xc3\xa9\"}";
  record.id = DigestOf(record.config_json);
  record.tags = {"a:1", "b:2"};
  record.digests = {"a@" + kDigest};
  record.diff_ids = {kDigest};
  record.size = 7;
  record.pinned = true;
  record.updated_nanos = 42;
  const std::string text = EncodeRecord(record);
  const auto back = DecodeRecord(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->tags, record.tags);
  EXPECT_EQ(back->digests, record.digests);
  EXPECT_EQ(back->config_json, record.config_json);
  EXPECT_EQ(back->size, 7U);
  EXPECT_TRUE(back->pinned);
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(DecodeRecord(text.substr(0, size)).ok()) << size;
  }
  for (size_t at = 0; at < text.size(); ++at) {
    std::string bad = text;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    EXPECT_FALSE(DecodeRecord(bad).ok()) << at;
  }
}

TEST(DigestTest, GrammarAndValue) {
  EXPECT_EQ(DigestOf(""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(IsDigest(kDigest));
  for (const std::string& text : {std::string("sha256:"), kDigest + "0", kDigest.substr(1),
                                  std::string("sha256:../../../../../../../../../../../etc/passwd"),
                                  "sha512:" + std::string(64, 'a')}) {
    EXPECT_FALSE(IsDigest(text)) << text;
  }
}

}  // namespace
}  // namespace crisp::image
