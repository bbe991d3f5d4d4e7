#include "cni/builtin/netns.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "runtime/base/files.h"

namespace crisp::cni {
namespace {

constexpr char kOwnNetns[] = "/proc/thread-self/ns/net";

StatusOr<UniqueFd> OpenOwnNetns() {
  UniqueFd fd(open(kOwnNetns, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", kOwnNetns);
  return fd;
}

// Returns this thread to the namespace it was in.
class NetnsVisit {
 public:
  static StatusOr<NetnsVisit> Begin() {
    ASSIGN_OR_RETURN(UniqueFd home, OpenOwnNetns());
    return NetnsVisit(std::move(home));
  }
  NetnsVisit(NetnsVisit&&) = default;
  NetnsVisit& operator=(NetnsVisit&&) = default;
  ~NetnsVisit() {
    if (!home_.valid() || setns(home_.get(), CLONE_NEWNET) == 0) return;
    perror("crisp: return to the node's network namespace");
    abort();
  }

 private:
  explicit NetnsVisit(UniqueFd home) : home_(std::move(home)) {}
  UniqueFd home_;
};

// /proc/sys/net shows the namespace of the thread that looks.
Status TurnIpv6Off() {
  for (const char* scope : {"all", "default"}) {
    const std::string base = absl::StrCat("/proc/sys/net/ipv6/conf/", scope, "/");
    for (const auto& [key, value] : {std::pair{"disable_ipv6", "1"}, {"accept_ra", "0"}}) {
      const Status status = WriteControlFile(AT_FDCWD, base + key, value);
      if (ErrnoOf(status) == ENOENT) return absl::OkStatus();  // a kernel without IPv6
      RETURN_IF_ERROR(Annotate(status, "turn IPv6 off in the pod's network"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<NewNetns> MakeNetns(bool ipv6) {
  ASSIGN_OR_RETURN(NetnsVisit visit, NetnsVisit::Begin());
  if (unshare(CLONE_NEWNET) != 0) return ErrnoStatus(errno, "make network namespace");
  ASSIGN_OR_RETURN(UniqueFd fd, OpenOwnNetns());
  ASSIGN_OR_RETURN(NlSocket route, NlSocket::Open(NETLINK_ROUTE));
  if (!ipv6) RETURN_IF_ERROR(TurnIpv6Off());
  return NewNetns{std::move(fd), std::move(route)};
}

Status RunInNetns(int netns_fd, const std::function<Status()>& work) {
  ASSIGN_OR_RETURN(NetnsVisit visit, NetnsVisit::Begin());
  if (setns(netns_fd, CLONE_NEWNET) != 0) return ErrnoStatus(errno, "enter network namespace");
  return work();
}

StatusOr<NewNetns> AdoptNetns(int netns_fd, bool ipv6) {
  UniqueFd fd(fcntl(netns_fd, F_DUPFD_CLOEXEC, 3));
  if (!fd.valid()) return ErrnoStatus(errno, "duplicate network namespace");
  ASSIGN_OR_RETURN(NlSocket route, OpenRouteSocketIn(netns_fd));
  if (!ipv6) RETURN_IF_ERROR(RunInNetns(netns_fd, TurnIpv6Off));
  return NewNetns{std::move(fd), std::move(route)};
}

StatusOr<NlSocket> OpenRouteSocketIn(int netns_fd) {
  std::optional<StatusOr<NlSocket>> socket;
  RETURN_IF_ERROR(RunInNetns(netns_fd, [&] {
    socket.emplace(NlSocket::Open(NETLINK_ROUTE));
    return socket->status();
  }));
  return std::move(*socket);
}

}  // namespace crisp::cni
