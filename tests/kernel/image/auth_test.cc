// Credentials and redirects against scripted registries: secrets stay at their origin.
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fake_registry.h"
#include "fixture.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

constexpr char kSecret[] = "s3cr3t-passw0rd";

class AuthTest : public testing::Test {
 protected:
  StatusOr<std::string> Pull(const FakeRegistry& registry, const Auth& auth) {
    return service_->Pull(registry.host() + "/team/app", auth, [] { return false; });
  }
  static bool SawSecret(FakeRegistry* registry) {
    const std::string basic = absl::Base64Escape(absl::StrCat("user:", kSecret));
    for (const FakeRequest& request : registry->requests()) {
      std::string all = request.path + request.body;
      for (const auto& [name, value] : request.headers) all += value;
      if (absl::StrContains(all, kSecret) || absl::StrContains(all, basic)) return true;
    }
    return false;
  }
  static FakeReply Unauthorized(const std::string& challenge) {
    FakeReply reply;
    reply.code = 401;
    reply.headers["WWW-Authenticate"] = challenge;
    return reply;
  }

  TempDir temp_;
  std::unique_ptr<ImageService> service_ = OpenService(temp_.Sub("images"));
  const TestImage image_ = MakeImage({{TarBuilder().File("f", "1").End()}});
  const Auth auth_ = {"user", kSecret, "", "", ""};
  const std::string basic_ =
      absl::StrCat("Basic ", absl::Base64Escape(absl::StrCat("user:", kSecret)));
};

TEST_F(AuthTest, Basic) {
  FakeRegistry registry([&](const FakeRequest& request) {
    if (request.Header("authorization") != basic_) return Unauthorized("Basic realm=\"r\"");
    return ServeImage(image_, request);
  });
  EXPECT_EQ(Pull(registry, {}).status().code(), absl::StatusCode::kUnauthenticated);
  const auto bad = Pull(registry, {"user", "wrong", "", "", ""});
  EXPECT_EQ(bad.status().code(), absl::StatusCode::kUnauthenticated);
  const auto id = Pull(registry, auth_);
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(Pull(registry, {"user", "wrong", "", "", ""}).status().code(),
            absl::StatusCode::kUnauthenticated)
      << "a present image is no reason to let wrong credentials pass";
  EXPECT_TRUE(service_->Find(*id)->has_value());
}

TEST_F(AuthTest, BearerWithExpiry) {
  std::atomic<int> tokens{0};
  std::string url;
  FakeRegistry registry([&](const FakeRequest& request) {
    if (absl::StartsWith(request.path, "/token")) {
      FakeReply reply;
      EXPECT_EQ(request.Header("authorization"), basic_);
      EXPECT_TRUE(absl::StrContains(request.path, "service=the%20service"));
      EXPECT_TRUE(absl::StrContains(request.path, "scope=repository%3Ateam%2Fapp%3Apull"));
      reply.body = absl::StrCat("{\"token\":\"t", ++tokens, "\"}");
      return reply;
    }
    // The first token is good for the manifest only: it "expires" in the middle of the pull.
    const bool manifest = absl::StrContains(request.path, "manifests");
    const std::string good = manifest ? "Bearer t1" : "Bearer t2";
    if (request.Header("authorization") != good) {
      return Unauthorized("Bearer realm=\"" + url + "/token\",service=\"the service\"");
    }
    return ServeImage(image_, request);
  });
  url = registry.url();
  const auto id = Pull(registry, auth_);
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(tokens, 2);
}

TEST_F(AuthTest, IdentityAndRegistryTokens) {
  std::string url;
  FakeRegistry registry([&](const FakeRequest& request) {
    if (absl::StartsWith(request.path, "/token")) {
      FakeReply reply;
      EXPECT_EQ(request.method, "POST");
      EXPECT_TRUE(absl::StrContains(request.body, "refresh_token=id-token"));
      reply.body = R"({"access_token":"fresh"})";
      return reply;
    }
    const std::string header = request.Header("authorization");
    if (header != "Bearer fresh" && header != "Bearer given") {
      return Unauthorized("Bearer realm=\"" + url + "/token\",service=\"s\"");
    }
    return ServeImage(image_, request);
  });
  url = registry.url();
  EXPECT_TRUE(Pull(registry, {"", "", "id-token", "", ""}).ok());
  EXPECT_TRUE(Pull(registry, {"", "", "", "given", ""}).ok());
}

TEST_F(AuthTest, EndlessChallengeEnds) {
  FakeRegistry registry([&](const FakeRequest& request) {
    if (absl::StartsWith(request.path, "/token")) {
      FakeReply reply;
      reply.body = R"({"token":"t"})";
      return reply;
    }
    return Unauthorized("Bearer realm=\"http://" + request.Header("host") + "/token\"");
  });
  EXPECT_EQ(Pull(registry, auth_).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_LT(registry.requests().size(), 10U);
}

TEST_F(AuthTest, ForeignRealmGetsNoSecret) {
  FakeRegistry thief([](const FakeRequest&) {
    FakeReply reply;
    reply.body = R"({"token":"t"})";
    return reply;
  });
  for (const std::string& realm :
       {thief.url() + "/token", std::string("file:///etc/passwd"), "http://user:pw@" + thief.host(),
        std::string("http://169.254.169.254/latest"), std::string("")}) {
    FakeRegistry registry([&](const FakeRequest&) {
      return Unauthorized("Bearer realm=\"" + realm + "\",service=\"s\"");
    });
    const auto id = Pull(registry, auth_);
    EXPECT_FALSE(id.ok()) << realm;
    EXPECT_FALSE(absl::StrContains(id.status().message(), kSecret));
  }
  EXPECT_FALSE(SawSecret(&thief));
}

TEST_F(AuthTest, RedirectDropsTheSecret) {
  FakeRegistry storage([&](const FakeRequest& request) { return ServeImage(image_, request); });
  for (const int code : {301, 302, 303, 307, 308}) {
    FakeRegistry registry([&](const FakeRequest& request) {
      if (request.Header("authorization") != basic_) return Unauthorized("Basic realm=\"r\"");
      if (!absl::StrContains(request.path, "/blobs/")) return ServeImage(image_, request);
      FakeReply reply;
      reply.code = code;
      reply.headers["Location"] = storage.url() + request.path;
      return reply;
    });
    const auto id = Pull(registry, auth_);
    EXPECT_TRUE(id.ok()) << id.status();
    EXPECT_TRUE(service_->Remove(*id).ok());
  }
  EXPECT_GE(storage.requests().size(), 10U);
  EXPECT_FALSE(SawSecret(&storage));
}

TEST_F(AuthTest, BadRedirectsAreRefused) {
  for (const std::string location :
       {"file:///etc/passwd", "gopher://x/", "http://169.254.169.254/latest/meta-data", "",
        "/v2/loop", "http://user:pw@127.0.0.1/"}) {
    FakeRegistry registry([&](const FakeRequest&) {
      FakeReply reply;
      reply.code = 307;
      reply.headers["Location"] = location;
      return reply;
    });
    const auto id = Pull(registry, auth_);
    EXPECT_EQ(id.status().code(), absl::StatusCode::kInvalidArgument)
        << location << ": " << id.status();
    EXPECT_LE(registry.requests().size(), 6U) << location;
  }
}

TEST_F(AuthTest, CredentialsForAnotherServerAreNotSent) {
  FakeRegistry registry([&](const FakeRequest&) { return Unauthorized("Basic realm=\"r\""); });
  Auth auth = auth_;
  auth.server_address = "https://registry.example.com/v1/";
  EXPECT_EQ(Pull(registry, auth).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_FALSE(SawSecret(&registry));
  auth.server_address = registry.host();
  EXPECT_EQ(Pull(registry, auth).status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_TRUE(SawSecret(&registry));
}

TEST_F(AuthTest, ForbiddenIsPermissionDenied) {
  FakeRegistry registry([&](const FakeRequest&) {
    FakeReply reply;
    reply.code = 403;
    return reply;
  });
  EXPECT_EQ(Pull(registry, auth_).status().code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace crisp::image
