// Connections into a network namespace from outside.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "runtime/sandbox/pod_dial.h"

namespace crisp::runtime {
namespace {

constexpr std::chrono::seconds kLimit(20);

UniqueFd Listen(int family, uint16_t* port) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* address =
      family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  socklen_t size = family == AF_INET ? sizeof(v4) : sizeof(v6);
  EXPECT_EQ(bind(fd.get(), address, size), 0) << strerror(errno);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  EXPECT_EQ(getsockname(fd.get(), address, &size), 0);
  *port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
  return fd;
}

// A namespace with lo up, one listener of each family in it.
class Dial : public ::testing::Test {
 protected:
  void SetUp() override {
    std::thread([&] {
      ASSERT_EQ(unshare(CLONE_NEWNET), 0);
      net_.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
      const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ifreq request{};
      request.ifr_name[0] = 'l';
      request.ifr_name[1] = 'o';
      request.ifr_flags = IFF_UP;
      ASSERT_EQ(ioctl(fd.get(), SIOCSIFFLAGS, &request), 0);
      v4_ = Listen(AF_INET, &v4_port_);
      v6_ = Listen(AF_INET6, &v6_port_);
    }).join();
  }
  static std::string Family(int fd) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    EXPECT_EQ(getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size), 0);
    return peer.ss_family == AF_INET ? "v4" : peer.ss_family == AF_INET6 ? "v6" : "?";
  }
  static ino_t OwnNamespace() {
    struct stat info;
    EXPECT_EQ(stat("/proc/thread-self/ns/net", &info), 0);
    return info.st_ino;
  }

  UniqueFd net_, v4_, v6_;
  uint16_t v4_port_ = 0, v6_port_ = 0;
};

TEST_F(Dial, ReachesBothFamiliesAndComesHome) {
  const ino_t home = OwnNamespace();
  const auto v4 = DialPod(net_.get(), v4_port_, kLimit);
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(Family(v4->get()), "v4");
  const auto v6 = DialPod(net_.get(), v6_port_, kLimit);
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(Family(v6->get()), "v6");
  EXPECT_EQ(OwnNamespace(), home);

  const UniqueFd other(accept4(v4_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(write(other.get(), "hi", 2), 2);
  char buffer[8];
  EXPECT_EQ(read(v4->get(), buffer, sizeof(buffer)), 2);
}

TEST_F(Dial, ARefusalNamesThePort) {
  const uint16_t port = v4_port_ == 1 ? 2 : 1;
  const auto dialed = DialPod(net_.get(), port, kLimit);
  EXPECT_EQ(ErrnoOf(dialed.status()), ECONNREFUSED);
  EXPECT_NE(dialed.status().message().find("port " + std::to_string(port)), std::string::npos);
}

TEST_F(Dial, WithoutANamespaceItIsOurs) {
  uint16_t port = 0;
  const UniqueFd listener = Listen(AF_INET, &port);
  EXPECT_TRUE(DialPod(-1, port, kLimit).ok());
  EXPECT_FALSE(DialPod(net_.get(), port, kLimit).ok());
}

TEST_F(Dial, WhatIsNoNamespaceIsRefused) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const ino_t home = OwnNamespace();
  EXPECT_FALSE(DialPod(null.get(), v4_port_, kLimit).ok());
  EXPECT_EQ(OwnNamespace(), home);
}

}  // namespace
}  // namespace crisp::runtime
