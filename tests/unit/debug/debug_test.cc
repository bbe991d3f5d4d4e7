#include "cri/debug/debug_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/match.h"
#include "cri/debug/http_request.h"
#include "runtime/base/files.h"
#include "runtime/sys/fd.h"

namespace crisp {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(HttpRequestTest, Table) {
  const struct {
    std::string bytes;
    HttpParse verdict;
    const char* path;
  } cases[] = {
      {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", HttpParse::kComplete, "/metrics"},
      {"GET /pods?x=/y HTTP/1.0\r\n\r\n", HttpParse::kComplete, "/pods"},
      {"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", HttpParse::kComplete, "/a"},
      {"", HttpParse::kIncomplete, ""},
      {"GET /metrics HTTP/1.1\r\nHost: x\r\n", HttpParse::kIncomplete, ""},
      {"\r\n\r\n", HttpParse::kBad, ""},
      {"GET  /metrics HTTP/1.1\r\n\r\n", HttpParse::kBad, ""},
      {"GET metrics HTTP/1.1\r\n\r\n", HttpParse::kBad, ""},
      {"GET http://x/metrics HTTP/1.1\r\n\r\n", HttpParse::kBad, ""},
      {"GET /metrics HTTP/2\r\n\r\n", HttpParse::kBad, ""},
      {"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", HttpParse::kBad, ""},
      {"GET /metrics HTTP/1.1\r\nbad name: x\r\n\r\n", HttpParse::kBad, ""},
      {"GET /metrics HTTP/1.1\r\na: \x01\r\n\r\n", HttpParse::kBad, ""},
      {"G\"T /metrics HTTP/1.1\r\n\r\n", HttpParse::kBad, ""},
      {std::string("GET /\0 HTTP/1.1\r\n\r\n", 19), HttpParse::kBad, ""},
      {std::string(9000, 'a'), HttpParse::kTooLarge, ""},
      {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\n\r\n", HttpParse::kTooLarge, ""},
  };
  for (const auto& row : cases) {
    HttpRequest request;
    EXPECT_EQ(ParseHttpRequest(row.bytes, &request), row.verdict) << row.bytes.substr(0, 60);
    EXPECT_EQ(request.path, row.path);
  }
}

class DebugServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-debug-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    options_.socket_path = dir_ + "/debug.sock";
    options_.pages["/healthz"] = {[] { return std::string("ok\n"); }};
    options_.pages["/metrics"] = {[] { return std::string(4 << 20, 'm'); }};
  }
  void TearDown() override {
    server_.reset();
    EXPECT_TRUE(RemoveTreeAt(-100, dir_).ok());
  }
  void Start() {
    auto server = DebugServer::Start(options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  UniqueFd Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, options_.socket_path.c_str(), options_.socket_path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  UniqueFd ConnectTcp() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server_->metrics_port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  static std::string ReadAll(const UniqueFd& fd) {
    std::string text;
    char buffer[65536];
    for (ssize_t n; (n = read(fd.get(), buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    return text;
  }
  static std::string Ask(const UniqueFd& fd, absl::string_view request) {
    EXPECT_TRUE(WriteAll(fd.get(), request).ok());
    return ReadAll(fd);
  }

  std::string dir_;
  DebugServerOptions options_;
  std::unique_ptr<DebugServer> server_;
};

TEST_F(DebugServerTest, ServesPagesToRootOnly) {
  Start();
  struct stat info;
  ASSERT_EQ(stat(options_.socket_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  const std::string answer = Ask(Connect(), "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, EndsWith("Connection: close\r\n\r\nok\n"));
  EXPECT_THAT(Ask(Connect(), "HEAD /healthz HTTP/1.1\r\n\r\n"), EndsWith("\r\n\r\n"));
  EXPECT_THAT(Ask(Connect(), "GET /heap HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask(Connect(), "POST /healthz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask(Connect(), "nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(DebugServerTest, LargePageArrivesWhole) {
  Start();
  EXPECT_GT(Ask(Connect(), "GET /metrics HTTP/1.1\r\n\r\n").size(), size_t{4 << 20});
}

TEST_F(DebugServerTest, RequestInPiecesIsRead) {
  Start();
  UniqueFd fd = Connect();
  for (const char* piece : {"GET /hea", "lthz HTTP/1.1\r", "\n\r"})
    ASSERT_TRUE(WriteAll(fd.get(), piece).ok());
  EXPECT_THAT(Ask(fd, "\n"), EndsWith("ok\n"));
}

TEST_F(DebugServerTest, TcpShowsMetricsAndNothingElse) {
  options_.metrics_address = "127.0.0.1:0";
  Start();
  EXPECT_THAT(Ask(ConnectTcp(), "GET /metrics HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Ask(ConnectTcp(), "GET /healthz HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
}

// The deadline is short here; a client that says nothing must not hold its place for ever.
TEST_F(DebugServerTest, SilentClientsAreDroppedAndOthersServed) {
  options_.max_connections = 2;
  options_.deadline_ms = 100;
  Start();
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(Connect());
  EXPECT_THAT(Ask(Connect(), "GET /healthz HTTP/1.1\r\n\r\n"), EndsWith("ok\n"));
  for (const UniqueFd& fd : silent) EXPECT_EQ(ReadAll(fd), "");
}

TEST_F(DebugServerTest, EndsWithAClientConnectedAndCanStartAgain) {
  Start();
  UniqueFd fd = Connect();
  server_.reset();
  EXPECT_EQ(ReadAll(fd), "");
  Start();
  EXPECT_THAT(Ask(Connect(), "GET /healthz HTTP/1.1\r\n\r\n"), EndsWith("ok\n"));
}

TEST_F(DebugServerTest, BadAddressIsRefused) {
  for (const char* address : {"localhost:1", "1.2.3.4", "127.0.0.1:70000"}) {
    options_.metrics_address = address;
    EXPECT_THAT(std::string(DebugServer::Start(options_).status().message()),
                HasSubstr("metrics_address"));
  }
}

}  // namespace
}  // namespace crisp
