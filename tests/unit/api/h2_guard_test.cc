// The guard by itself: this program's own accept4, recvmsg and close go through it as gRPC's do.
#include "cri/api/h2_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "cri/api/unix_listener.h"
#include "runtime/base/files.h"

namespace crisp {
namespace {

std::vector<H2Ended> ended;

const std::string kHello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
const std::string kLoneContinuation("\0\0\0\x9\0\0\0\0\1", 9);

int Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

// As gRPC reads: pieces of memory, flags 0.
ssize_t Receive(int fd, std::string* got) {
  char first[5], second[4096];
  iovec pieces[] = {{first, sizeof(first)}, {second, sizeof(second)}};
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = 2;
  const ssize_t size = recvmsg(fd, &message, 0);
  if (size > 0) {
    got->assign(first, std::min<size_t>(size, sizeof(first)));
    if (size > 5) got->append(second, size - 5);
  }
  return size;
}

class H2GuardTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-h2-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    ended.clear();
    GuardHttp2(path(), [](const H2Ended& end) { ended.push_back(end); });
    listener_ = Listen(path());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTreeAt(-100, dir_).ok()); }

  std::string path() const { return dir_ + "/s.sock"; }
  static UniqueFd Listen(const std::string& path) {
    auto listener = ListenUnix(path, 0600, 16);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return std::move(*listener);
  }
  static int Accept(const UniqueFd& listener) {
    const int fd = accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    EXPECT_GE(fd, 0);
    return fd;
  }
  static void Send(int fd, const std::string& bytes) {
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }

  std::string dir_, got_;
  UniqueFd listener_;
};

TEST_F(H2GuardTest, GoodBytesPassBadOnesEndTheConnection) {
  UniqueFd client(Connect(path())), server(Accept(listener_));
  Send(client.get(), kHello);
  EXPECT_EQ(Receive(server.get(), &got_), static_cast<ssize_t>(kHello.size()));
  EXPECT_EQ(got_, kHello);
  EXPECT_EQ(Receive(server.get(), &got_), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_TRUE(ended.empty());

  Send(client.get(), kLoneContinuation);
  EXPECT_EQ(Receive(server.get(), &got_), -1);
  EXPECT_EQ(errno, ECONNRESET);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].abuse, H2Abuse::kBlockOrder);
  EXPECT_EQ(ended[0].peer, getpid());
  EXPECT_EQ(recv(client.get(), got_.data(), 1, 0), 0) << "the client sees the end";
}

TEST_F(H2GuardTest, OtherDescriptorsPass) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  UniqueFd one(pair[0]), two(pair[1]);
  Send(one.get(), "no HTTP/2");
  EXPECT_EQ(Receive(two.get(), &got_), 9);

  const UniqueFd elsewhere = Listen(dir_ + "/other.sock");
  UniqueFd client(Connect(dir_ + "/other.sock")), server(Accept(elsewhere));
  Send(client.get(), "no HTTP/2");
  EXPECT_EQ(Receive(server.get(), &got_), 9);
  EXPECT_TRUE(ended.empty());
}

// The number of a closed connection is soon another file's.
TEST_F(H2GuardTest, AClosedConnectionIsForgotten) {
  UniqueFd client(Connect(path()));
  const int server = Accept(listener_);
  close(server);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  UniqueFd one(pair[0]), two(pair[1]);
  ASSERT_EQ(one.get(), server);
  Send(two.get(), "no HTTP/2");
  EXPECT_EQ(Receive(one.get(), &got_), 9);

  // And the next connection begins with a preface, not where another stopped.
  one.Reset();
  UniqueFd next_client(Connect(path())), next(Accept(listener_));
  Send(next_client.get(), kHello);
  EXPECT_EQ(Receive(next.get(), &got_), static_cast<ssize_t>(kHello.size()));
}

// An acknowledgement of SETTINGS that were not yet sent is one that gRPC must not see.
TEST_F(H2GuardTest, SettingsAreAcknowledgedAfterTheyAreWritten) {
  const std::string ack("\0\0\0\4\1\0\0\0\0", 9);
  for (const bool wrote : {true, false}) {
    UniqueFd client(Connect(path())), server(Accept(listener_));
    char settings[] = "settings";
    iovec piece{settings, sizeof(settings)};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (wrote) {
      ASSERT_GT(sendmsg(server.get(), &message, 0), 0);
    }
    Send(client.get(), kHello + ack);
    EXPECT_EQ(Receive(server.get(), &got_) > 0, wrote);
  }
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].abuse, H2Abuse::kSettings);
}

TEST_F(H2GuardTest, OneConnectionTooMany) {
  rlimit files;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<UniqueFd> clients, servers;
  for (int i = 0; i < kMaxCriConnections; ++i) {
    clients.emplace_back(Connect(path()));
    servers.emplace_back(Accept(listener_));
  }
  EXPECT_TRUE(ended.empty());
  UniqueFd more(Connect(path()));
  ASSERT_EQ(fcntl(listener_.get(), F_SETFL, O_NONBLOCK), 0);
  EXPECT_EQ(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].abuse, H2Abuse::kConnections);
  servers.pop_back();
  UniqueFd client(Connect(path())), server(Accept(listener_));
  EXPECT_TRUE(server.valid());
}

}  // namespace
}  // namespace crisp
