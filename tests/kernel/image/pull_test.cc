// Pulls from a scripted registry: everything a hostile or broken one may do.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fake_registry.h"
#include "fixture.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

bool Never() { return false; }

std::string Noise(size_t size) {
  std::mt19937 random(1);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

class PullTest : public testing::Test {
 protected:
  void Open() { service_ = OpenService(temp_.Sub("images")); }
  StatusOr<std::string> Pull(const FakeRegistry& registry, const std::string& name = "app",
                             const Auth& auth = {}) {
    return service_->Pull(registry.host() + "/" + name, auth, Never);
  }
  // The pull fails with `code` and `text`, and nothing of it stays.
  void ExpectRefused(const FakeRegistry& registry, absl::StatusCode code,
                     const std::string& text = "") {
    const auto id = Pull(registry);
    EXPECT_EQ(id.status().code(), code) << id.status();
    EXPECT_TRUE(absl::StrContains(id.status().message(), text)) << id.status();
    EXPECT_TRUE(service_->List().empty());
    EXPECT_TRUE(std::filesystem::is_empty(temp_.Sub("images/layers")));
  }

  TempDir temp_;
  std::unique_ptr<ImageService> service_ = OpenService(temp_.Sub("images"));
  const TestImage image_ = MakeImage({{TarBuilder().File("one", Noise(300000)).End()},
                                      {TarBuilder().File("two", "2").End(), "zstd"},
                                      {TarBuilder().File("three", "3").End(), "none"}});
};

TEST_F(PullTest, WholeImage) {
  FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(image_, request); });
  const auto id = Pull(registry);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, DigestOf(image_.config));
  const auto info = *service_->Find(registry.host() + "/app:latest");
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->repo_digests,
            std::vector<std::string>{registry.host() + "/app@" + DigestOf(image_.manifest)});
  EXPECT_GT(info->size, 300000U);
  EXPECT_EQ(info->chain_ids.size(), 3U);
  const auto handle = service_->Acquire(*id);
  EXPECT_EQ(ReadText(handle->lower_dirs[0] + "/three"), "3");
  EXPECT_EQ(ReadText(handle->lower_dirs[1] + "/two"), "2");
  EXPECT_EQ(ReadText(handle->lower_dirs[2] + "/one"), Noise(300000));
  const size_t before = registry.requests().size();
  EXPECT_TRUE(Pull(registry).ok());
  EXPECT_EQ(registry.requests().size(), before + 2) << "only manifest and config again";
  EXPECT_TRUE(service_->Pulls().empty());
}

TEST_F(PullTest, ByDigestHasNoTag) {
  const TestImage docker = MakeImage({{TarBuilder().File("f", "1").End()}}, "{}", true);
  FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(docker, request); });
  const std::string name = "app:v9@" + DigestOf(docker.manifest);
  const auto id = Pull(registry, name);
  ASSERT_TRUE(id.ok()) << id.status();
  const auto info = *service_->Find(registry.host() + "/" + name);
  ASSERT_TRUE(info.has_value());
  EXPECT_TRUE(info->repo_tags.empty());
  EXPECT_EQ(info->repo_digests.size(), 1U);
  const auto other = Pull(registry, "app@sha256:" + std::string(64, 'a'));
  EXPECT_EQ(other.status().code(), absl::StatusCode::kNotFound) << other.status();
}

TEST_F(PullTest, IndexPicksThisPlatform) {
  const auto entry = [&](const std::string& digest, size_t size, const std::string& platform) {
    return absl::StrCat(R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")",
                        digest, R"(","size":)", size, R"(,"platform":)", platform, "}");
  };
  const std::string index = absl::StrCat(
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)",
      entry("sha256:" + std::string(64, '1'), 5, R"({"os":"windows","architecture":"amd64"})"), ",",
      entry("sha256:" + std::string(64, '2'), 5, R"({"os":"linux","architecture":"s390x"})"), ",",
      entry(DigestOf(image_.manifest), image_.manifest.size(),
            R"({"os":"linux","architecture":"amd64"})"),
      "]}");
  FakeRegistry registry([&](const FakeRequest& request) {
    if (!absl::EndsWith(request.path, "/manifests/latest")) return ServeImage(image_, request);
    FakeReply reply;
    reply.headers["Content-Type"] = "application/vnd.oci.image.index.v1+json";
    reply.body = index;
    return reply;
  });
  const auto id = Pull(registry);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ((*service_->Find(*id))->repo_digests,
            std::vector<std::string>{registry.host() + "/app@" + DigestOf(index)});
}

TEST_F(PullTest, NoMatchingPlatform) {
  FakeRegistry registry([&](const FakeRequest&) {
    FakeReply reply;
    reply.headers["Content-Type"] = "application/vnd.oci.image.index.v1+json";
    reply.body = absl::StrCat(
        R"({"schemaVersion":2,"manifests":[{"mediaType":)",
        R"("application/vnd.oci.image.manifest.v1+json","digest":"sha256:)", std::string(64, '1'),
        R"(","size":5,"platform":{"os":"linux","architecture":"riscv64"}}]})");
    return reply;
  });
  ExpectRefused(registry, absl::StatusCode::kNotFound, "riscv64");
}

// One flipped byte in the first, middle and last position of manifest, config and each layer.
TEST_F(PullTest, WrongBytesAreRefused) {
  for (const std::string part : {"config", "layer0", "layer1", "layer2"}) {
    for (const double where : {0.0, 0.5, 1.0}) {
      const std::string& good = part == "config" ? image_.config : image_.blobs[part[5] - '0'];
      std::string bad = good;
      const size_t at = static_cast<size_t>(where * static_cast<double>(bad.size() - 1));
      bad[at] = static_cast<char>(bad[at] ^ 4);
      FakeRegistry registry([&](const FakeRequest& request) {
        FakeReply reply = ServeImage(image_, request);
        if (reply.body == good) reply.body = bad;
        return reply;
      });
      SCOPED_TRACE(absl::StrCat(part, " at ", where));
      ExpectRefused(registry, absl::StatusCode::kInvalidArgument, DigestOf(bad));
    }
  }
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (reply.body == image_.manifest) reply.body += " ";
    return reply;
  });
  const auto id = Pull(registry, "app@" + DigestOf(image_.manifest));
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << id.status();
}

TEST_F(PullTest, WrongDiffIdIsRefused) {
  TestImage image = MakeImage({{TarBuilder().File("f", "1").End()}});
  const TestImage other = MakeImage({{TarBuilder().File("f", "2").End()}});
  const std::string manifest = image.manifest;
  image.blobs = other.blobs;  // the manifest of one, the config of the other
  image.manifest = other.manifest;
  const size_t at = image.manifest.find(DigestOf(other.config));
  image.manifest.replace(at, 71, DigestOf(image.config));
  FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(image, request); });
  ExpectRefused(registry, absl::StatusCode::kInvalidArgument, "diffID");
}

TEST_F(PullTest, TruncatedLayerIsRefused) {
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0]))) {
      reply.code = 200;
      reply.body = image_.blobs[0].substr(0, 1000);
    }
    return reply;
  });
  ExpectRefused(registry, absl::StatusCode::kInvalidArgument, "truncated");
}

TEST_F(PullTest, LongerLayerIsRefused) {
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0]))) reply.body += "more";
    return reply;
  });
  ExpectRefused(registry, absl::StatusCode::kInvalidArgument, "larger");
}

TEST_F(PullTest, BrokenConnectionResumesByRange) {
  std::atomic<int> tries{0};
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0])) && tries.fetch_add(1) < 2) {
      reply.content_length = static_cast<int64_t>(reply.body.size());
      reply.body = reply.body.substr(0, 100000);
    }
    return reply;
  });
  const auto id = Pull(registry);
  ASSERT_TRUE(id.ok()) << id.status();
  std::vector<std::string> ranges;
  for (const FakeRequest& request : registry.requests()) {
    if (!request.Header("range").empty()) ranges.push_back(request.Header("range"));
  }
  EXPECT_EQ(ranges, (std::vector<std::string>{"bytes=100000-", "bytes=200000-"}));
}

TEST_F(PullTest, ServerWithoutRangeStartsAgain) {
  std::atomic<int> tries{0};
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeRequest plain = request;
    plain.headers.erase("range");
    FakeReply reply = ServeImage(image_, plain);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0])) && tries.fetch_add(1) == 0) {
      reply.content_length = static_cast<int64_t>(reply.body.size());
      reply.body = reply.body.substr(0, 100000);
    }
    return reply;
  });
  const auto id = Pull(registry);
  EXPECT_TRUE(id.ok()) << id.status();
}

TEST_F(PullTest, BusyServerIsAskedAgain) {
  std::atomic<int> tries{0};
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (tries.fetch_add(1) < 3) {
      reply.code = tries == 1 ? 429 : 503;
      reply.headers["Retry-After"] = tries == 1 ? "0" : "garbage";
      reply.body = "busy";
    }
    return reply;
  });
  const auto id = Pull(registry);
  EXPECT_TRUE(id.ok()) << id.status();
}

TEST_F(PullTest, UnreachableRegistry) {
  std::string host;
  {
    FakeRegistry gone([](const FakeRequest&) { return FakeReply(); });
    host = gone.host();
  }
  const auto id = service_->Pull(host + "/app:1", {}, Never);
  EXPECT_EQ(id.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(absl::StartsWith(id.status().message(), "RegistryUnavailable: ")) << id.status();
}

TEST_F(PullTest, AbsentImageIsNamed) {
  FakeRegistry registry([&](const FakeRequest&) {
    FakeReply reply;
    reply.code = 404;
    return reply;
  });
  ExpectRefused(registry, absl::StatusCode::kNotFound, registry.host() + "/app:latest");
}

TEST_F(PullTest, BadReferenceIsRefused) {
  for (const std::string text : {"", "UPPER", "a//b", "x:y:z", "a@sha256:12", "http://x/y"}) {
    const auto id = service_->Pull(text, {}, Never);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST_F(PullTest, CancelReturnsAtOnceAndLeavesNothing) {
  std::atomic<bool> release{false}, at_body{false};
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0]))) {
      reply.before = [&] {
        at_body = true;
        while (!release) std::this_thread::yield();
      };
    }
    return reply;
  });
  const auto id = service_->Pull(registry.host() + "/app", {}, [&] { return at_body.load(); });
  EXPECT_EQ(id.status().code(), absl::StatusCode::kCancelled);
  service_.reset();  // waits for the job to end
  release = true;
  Open();
  EXPECT_TRUE(service_->List().empty());
  EXPECT_TRUE(std::filesystem::is_empty(temp_.Sub("images/layers")));
}

TEST_F(PullTest, TwoPullsShareOneDownload) {
  std::atomic<int> waiting{0};
  std::atomic<bool> release{false}, cancel_first{false};
  FakeRegistry registry([&](const FakeRequest& request) {
    FakeReply reply = ServeImage(image_, request);
    if (absl::EndsWith(request.path, DigestOf(image_.blobs[0]))) {
      reply.before = [&] {
        while (!release) std::this_thread::yield();
      };
    }
    return reply;
  });
  const auto pull = [&](std::atomic<bool>* cancel, StatusOr<std::string>* result) {
    std::atomic<bool> counted{false};
    *result = service_->Pull(registry.host() + "/app", {}, [&, cancel] {
      if (!counted.exchange(true)) ++waiting;
      return cancel != nullptr && cancel->load();
    });
  };
  StatusOr<std::string> first = absl::UnknownError(""), second = first;
  std::thread one([&] { pull(&cancel_first, &first); });
  std::thread two([&] { pull(nullptr, &second); });
  while (waiting < 2 || service_->Pulls().size() != 1) std::this_thread::yield();
  const PullProgress progress = service_->Pulls().at(0);
  EXPECT_EQ(progress.reference, registry.host() + "/app:latest");
  cancel_first = true;
  one.join();
  EXPECT_EQ(first.status().code(), absl::StatusCode::kCancelled);
  release = true;
  two.join();
  EXPECT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(registry.CountOf(DigestOf(image_.blobs[0])), 1U);
}

TEST_F(PullTest, AmbiguousAndMalformedManifests) {
  const std::string config =
      absl::StrCat(R"("config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")",
                   DigestOf(image_.config), R"(","size":)", image_.config.size(), "}");
  std::string many_layers = absl::StrCat("{\"schemaVersion\":2,", config, ",\"layers\":[");
  for (int i = 0; i < 501; ++i) {
    absl::StrAppend(&many_layers, i == 0 ? "" : ",",
                    R"({"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:)",
                    std::string(64, 'a'), R"(","size":1})");
  }
  many_layers += "]}";
  const std::vector<std::string> documents = {
      "",
      "[]",
      "{",
      "null",
      std::string(5 << 20, ' '),
      std::string(100000, '['),
      absl::StrCat("{\"schemaVersion\":2,", config, ",\"layers\":[],\"manifests\":[]}"),
      absl::StrCat("{\"schemaVersion\":2,", config, ",\"layers\":[]}"),
      absl::StrCat("{\"schemaVersion\":1,", config, ",\"layers\":[],\"fsLayers\":[]}"),
      absl::StrCat("{\"schemaVersion\":2,\"schemaVersion\":2,", config, ",\"layers\":[]}"),
      absl::StrCat(R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",)",
                   config, ",\"layers\":[]}"),
      many_layers,
      absl::StrCat("{\"schemaVersion\":2,", config,
                   R"(,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":)",
                   R"("sha256:../../../etc/passwd","size":1}]})"),
      absl::StrCat("{\"schemaVersion\":2,", config,
                   R"(,"layers":[{"mediaType":"application/vnd.erofs","digest":"sha256:)",
                   std::string(64, 'a'), R"(","size":1}]})"),
      absl::StrCat("{\"schemaVersion\":2,", config,
                   R"(,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":)",
                   R"("sha256:)", std::string(64, 'a'), R"(","size":-1}]})"),
      absl::StrCat("{\"schemaVersion\":2,", config,
                   R"(,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":)",
                   R"("sha256:)", std::string(64, 'a'), R"(","size":1e999}]})"),
  };
  for (size_t i = 0; i < documents.size(); ++i) {
    FakeRegistry registry([&](const FakeRequest& request) {
      FakeReply reply = ServeImage(image_, request);
      if (reply.body == image_.manifest) reply.body = documents[i];
      return reply;
    });
    SCOPED_TRACE(documents[i].substr(0, 200));
    ExpectRefused(registry, absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(PullTest, ForeignUrlsAreNeverFollowed) {
  FakeRegistry foreign([](const FakeRequest&) { return FakeReply(); });
  TestImage image = image_;
  const size_t at = image.manifest.find("\"size\":", image.manifest.find("\"layers\""));
  image.manifest.insert(at, "\"urls\":[\"" + foreign.url() + "/x\"],");
  FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(image, request); });
  EXPECT_TRUE(Pull(registry).ok());
  EXPECT_EQ(foreign.requests().size(), 0U);
}

}  // namespace
}  // namespace crisp::image
