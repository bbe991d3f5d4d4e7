#include "runtime/sandbox/pod_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "runtime/sandbox/namespace_visit.h"

namespace crisp::runtime {

StatusOr<UniqueFd> MakePodSocket(int net, int family) {
  NamespaceVisit visit;
  if (net >= 0) RETURN_IF_ERROR(visit.Join(CLONE_NEWNET, net));
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "make socket in the pod's network");
  const int one = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

}  // namespace crisp::runtime
