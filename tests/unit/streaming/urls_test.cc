#include "cri/streaming/urls.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"

namespace crisp::streaming {
namespace {

class UrlsTest : public testing::Test {
 protected:
  UrlsTest() { urls_.SetBase("http://127.0.0.1:1"); }
  std::string Path(StreamKind kind = StreamKind::kExec) {
    StreamRequest request;
    request.kind = kind;
    request.id = "abc";
    const auto url = urls_.Register(request);
    EXPECT_TRUE(url.ok()) << url.status();
    return url.ok() ? url->substr(18) : "";
  }
  int64_t now_ = 0;
  StreamUrls urls_{{3, 60}, [this] { return now_; }};
};

TEST_F(UrlsTest, RedeemedOnce) {
  const std::string path = Path();
  EXPECT_TRUE(absl::StartsWith(path, "/exec/")) << path;
  EXPECT_EQ(path.size(), 6 + 43);  // 256 bits
  const auto taken = urls_.Take(path);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->id, "abc");
  EXPECT_FALSE(urls_.Take(path).has_value());
}

TEST_F(UrlsTest, EndsAfterItsLifetime) {
  const std::string path = Path(), other = Path();
  now_ = 59;
  EXPECT_TRUE(urls_.Take(path).has_value());
  now_ = 60;
  EXPECT_FALSE(urls_.Take(other).has_value());
}

TEST_F(UrlsTest, OtherKindTruncatedAndUnknownAreNothing) {
  const std::string path = Path(StreamKind::kAttach);
  EXPECT_FALSE(urls_.Take("/exec/" + path.substr(8)).has_value());
  EXPECT_FALSE(urls_.Take(path.substr(0, path.size() - 1)).has_value());
  EXPECT_FALSE(urls_.Take(path + "A").has_value());
  EXPECT_FALSE(urls_.Take(path + "/").has_value());
  EXPECT_FALSE(urls_.Take("/attach/" + std::string(43, 'A')).has_value());
  EXPECT_FALSE(urls_.Take("/attach/").has_value());
  EXPECT_FALSE(urls_.Take("").has_value());
  EXPECT_TRUE(urls_.Take(path).has_value()) << "wrong guesses must not spend it";
}

TEST_F(UrlsTest, BoundedAndExpiredOnesMakeRoom) {
  for (int i = 0; i < 3; i++) Path();
  EXPECT_EQ(urls_.Register({}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(urls_.pending(), 3);
  now_ = 60;
  Path();
  EXPECT_EQ(urls_.pending(), 1);
}

// The limits of the issue, as the daemon has them.
TEST_F(UrlsTest, SixtySecondsAThousand) {
  int64_t now = 0;
  StreamUrls urls({}, [&] { return now; });
  urls.SetBase("http://127.0.0.1:1");
  std::vector<std::string> paths;
  for (int i = 0; i < 1000; i++) paths.push_back(urls.Register({}).value_or("").substr(18));
  EXPECT_EQ(urls.Register({}).status().code(), absl::StatusCode::kResourceExhausted);
  now = 59'999'999'999;
  EXPECT_TRUE(urls.Take(paths[0]).has_value());
  now = 60'000'000'000;
  EXPECT_FALSE(urls.Take(paths[1]).has_value());
}

TEST_F(UrlsTest, NeedsAServer) {
  const std::string path = Path();
  urls_.SetBase("");
  EXPECT_EQ(urls_.Register({}).status().code(), absl::StatusCode::kUnavailable);
  urls_.SetBase("http://127.0.0.1:1");
  EXPECT_FALSE(urls_.Take(path).has_value());
}

TEST_F(UrlsTest, NoTwoAreAlike) {
  StreamUrls many({10000, 60}, [] { return 0; });
  many.SetBase("x");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; i++) seen.insert(*many.Register({}));
  EXPECT_EQ(seen.size(), 1000);
}

}  // namespace
}  // namespace crisp::streaming
