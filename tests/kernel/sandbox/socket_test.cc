// Sockets of a network namespace, made from outside.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "runtime/sandbox/pod_socket.h"

namespace crisp::runtime {
namespace {

struct Address {
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  int family;

  explicit Address(int of_family, uint16_t port = 0) : family(of_family) {
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v4.sin_port = htons(port);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    v6.sin6_port = htons(port);
  }
  sockaddr* any() {
    return family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
  }
  socklen_t size() const { return family == AF_INET ? sizeof(v4) : sizeof(v6); }
};

UniqueFd Listen(int family, uint16_t* port) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Address address(family);
  socklen_t size = address.size();
  EXPECT_EQ(bind(fd.get(), address.any(), size), 0) << strerror(errno);
  EXPECT_EQ(listen(fd.get(), 8), 0);
  EXPECT_EQ(getsockname(fd.get(), address.any(), &size), 0);
  *port = ntohs(family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
  return fd;
}

// The errno of a connection of `fd` to loopback.
int Connect(int fd, int family, uint16_t port) {
  Address address(family, port);
  if (connect(fd, address.any(), address.size()) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd poller{fd, POLLOUT, 0};
  if (poll(&poller, 1, 20000) != 1) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

ino_t OwnNamespace() {
  struct stat info;
  EXPECT_EQ(stat("/proc/thread-self/ns/net", &info), 0);
  return info.st_ino;
}

// A namespace with lo up, one listener of each family in it.
class PodSocket : public ::testing::Test {
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

  UniqueFd net_, v4_, v6_;
  uint16_t v4_port_ = 0, v6_port_ = 0;
};

TEST_F(PodSocket, ReachesBothFamiliesAndTheThreadComesHome) {
  const ino_t home = OwnNamespace();
  const auto v4 = MakePodSocket(net_.get(), AF_INET);
  ASSERT_TRUE(v4.ok()) << v4.status();
  const auto v6 = MakePodSocket(net_.get(), AF_INET6);
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(OwnNamespace(), home);
  EXPECT_EQ(Connect(v4->get(), AF_INET, v4_port_), 0);
  EXPECT_EQ(Connect(v6->get(), AF_INET6, v6_port_), 0);

  const UniqueFd other(accept4(v4_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_EQ(write(other.get(), "hi", 2), 2);
  pollfd poller{v4->get(), POLLIN, 0};
  ASSERT_EQ(poll(&poller, 1, 20000), 1);
  char buffer[8];
  EXPECT_EQ(read(v4->get(), buffer, sizeof(buffer)), 2);
  EXPECT_NE(fcntl(v4->get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(v4->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(PodSocket, WithoutANamespaceItIsOurs) {
  uint16_t port = 0;
  const UniqueFd listener = Listen(AF_INET, &port);
  const auto here = MakePodSocket(-1, AF_INET);
  const auto there = MakePodSocket(net_.get(), AF_INET);
  ASSERT_TRUE(here.ok() && there.ok());
  EXPECT_EQ(Connect(here->get(), AF_INET, port), 0);
  EXPECT_EQ(Connect(there->get(), AF_INET, port), port == v4_port_ ? 0 : ECONNREFUSED);
}

TEST_F(PodSocket, WhatIsNoNamespaceIsRefused) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const ino_t home = OwnNamespace();
  EXPECT_FALSE(MakePodSocket(null.get(), AF_INET).ok());
  EXPECT_EQ(OwnNamespace(), home);
}

}  // namespace
}  // namespace crisp::runtime
