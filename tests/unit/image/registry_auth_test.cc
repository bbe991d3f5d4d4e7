#include <gtest/gtest.h>

#include "imageservice/registry/auth.h"
#include "imageservice/registry/challenge.h"
#include "imageservice/registry/client.h"
#include "imageservice/registry/url.h"

namespace crisp::image {
namespace {

Url U(const std::string& text) {
  const auto url = ParseUrl(text);
  EXPECT_TRUE(url.ok()) << text << url.status();
  return url.ok() ? *url : Url();
}

TEST(UrlTest, Parses) {
  EXPECT_EQ(U("https://Host.Example/a?b#c").Text(), "https://host.example:443/a?b");
  EXPECT_EQ(U("http://h:5000").Text(), "http://h:5000/");
  EXPECT_EQ(U("http://[::1]:80/x").Text(), "http://[::1]:80/x");
  EXPECT_EQ(U("https://h/p?sig=secret").Printable(), "https://h:443/p");
  for (const std::string text :
       {"ftp://h/", "h/path", "http://", "http://u:p@h/", "http://h:0/", "http://h:70000/",
        "http://h:x/", "http://[::1/", "http://[zz]/", "http://h/a b", "http://h/\r\nX: y", ""}) {
    EXPECT_FALSE(ParseUrl(text).ok()) << text;
  }
  EXPECT_FALSE(ParseUrl("http://h/" + std::string(9000, 'a')).ok());
}

TEST(UrlTest, Resolves) {
  const Url base = U("https://h:1/a/b?q");
  EXPECT_EQ(ResolveUrl(base, "/x")->Text(), "https://h:1/x");
  EXPECT_EQ(ResolveUrl(base, "c")->Text(), "https://h:1/a/c");
  EXPECT_EQ(ResolveUrl(base, "//o/x")->Text(), "https://o:443/x");
  EXPECT_EQ(ResolveUrl(base, "http://o/x")->Text(), "http://o:80/x");
  EXPECT_EQ(ResolveUrl(base, "/x?u=http://y")->Text(), "https://h:1/x?u=http://y");
  for (const std::string text : {"file:///etc/passwd", "gopher://x/", "javascript:x", "data:x"}) {
    EXPECT_FALSE(ResolveUrl(base, text).ok()) << text;
  }
}

TEST(UrlTest, Loopback) {
  for (const std::string host :
       {"127.0.0.1", "127.255.0.9", "localhost", "LOCALHOST", "::1", "a.localhost"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const std::string host : {"128.0.0.1", "localhost.example.com", "127.0.0.1.example.com",
                                 "notlocalhost", "::2", "127.1"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(ChallengeTest, Forms) {
  const auto bearer = ParseChallenges(
      R"(Bearer realm="https://a/t",service="x \"y\"",scope="repository:a:pull,push")");
  ASSERT_EQ(bearer.size(), 1U);
  EXPECT_EQ(bearer[0].scheme, "bearer");
  EXPECT_EQ(bearer[0].params.at("realm"), "https://a/t");
  EXPECT_EQ(bearer[0].params.at("service"), "x \"y\"");
  EXPECT_EQ(bearer[0].params.at("scope"), "repository:a:pull,push");
  const auto both = ParseChallenges("basic realm=\"r\", BEARER Realm = \"t\" , service=s");
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[1].scheme, "bearer");
  EXPECT_EQ(both[1].params.at("realm"), "t");
  EXPECT_EQ(both[1].params.at("service"), "s");
  EXPECT_EQ(ParseChallenges("Negotiate").size(), 1U);
  EXPECT_TRUE(ParseChallenges("").empty());
  EXPECT_TRUE(ParseChallenges("=\"").empty());
  EXPECT_LE(ParseChallenges(std::string(100000, 'a')).size(), 1U);
  EXPECT_NO_FATAL_FAILURE(ParseChallenges("Bearer realm=\"unterminated"));
}

TEST(RealmTest, CredentialsGoOnlyToTheRegistrysOwn) {
  const auto may = [](const std::string& registry, const std::string& realm) {
    return RealmMayHaveCredentials(U(registry), U(realm));
  };
  EXPECT_TRUE(may("https://ghcr.io", "https://ghcr.io/token"));
  EXPECT_TRUE(may("https://registry-1.docker.io", "https://auth.docker.io/token"));
  EXPECT_TRUE(may("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"));
  EXPECT_TRUE(may("https://registry.example.com:5000", "https://auth.example.com/token"));
  EXPECT_TRUE(may("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"));
  EXPECT_FALSE(may("https://ghcr.io", "http://ghcr.io/token"));
  EXPECT_FALSE(may("https://registry.example.com", "https://evil.com/token"));
  EXPECT_FALSE(may("https://registry.example.com", "https://example.com.evil.com/token"));
  EXPECT_FALSE(may("https://example.com", "https://evil.com/token")) << "siblings in a top domain";
  EXPECT_FALSE(may("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"));
  EXPECT_FALSE(may("https://10.0.0.1", "https://10.0.0.2/token"));
}

TEST(CredentialsTest, ServerAddressMustMatch) {
  const Url endpoint = U("https://registry-1.docker.io");
  for (const std::string address :
       {"", "docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"}) {
    EXPECT_TRUE(CredentialsAreFor({"", "", "", "", address}, "docker.io", endpoint)) << address;
  }
  for (const std::string address :
       {"quay.io", "https://docker.io.evil.com", "evil.com/docker.io"}) {
    EXPECT_FALSE(CredentialsAreFor({"", "", "", "", address}, "docker.io", endpoint)) << address;
  }
}

TEST(EndpointTest, SchemeRules) {
  ImageOptions options;
  options.registries["plain.example.com"].plain_http = true;
  options.registries["mirrored.io"].endpoint = "https://mirror.example.com:444/proxy";
  options.registries["localhost:6000"].ca_file = "/ca.pem";
  const auto text = [&](const std::string& host) { return EndpointOf(host, options)->Text(); };
  EXPECT_EQ(text("docker.io"), "https://registry-1.docker.io:443");
  EXPECT_EQ(text("quay.io"), "https://quay.io:443");
  EXPECT_EQ(text("127.0.0.1:5000"), "http://127.0.0.1:5000");
  EXPECT_EQ(text("localhost:5000"), "http://localhost:5000");
  EXPECT_EQ(text("[::1]:5000"), "http://[::1]:5000");
  EXPECT_EQ(text("localhost:6000"), "https://localhost:6000");
  EXPECT_EQ(text("plain.example.com"), "http://plain.example.com:80");
  EXPECT_EQ(text("mirrored.io"), "https://mirror.example.com:444/proxy");
}

}  // namespace
}  // namespace crisp::image
