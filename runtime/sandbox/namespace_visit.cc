#include "runtime/sandbox/namespace_visit.h"

#include <fcntl.h>

#include <cstdlib>

namespace crisp::runtime {
namespace {

const char* NameOf(int type) {
  if (type == CLONE_NEWIPC) return "ipc";
  return type == CLONE_NEWUTS ? "uts" : "net";
}

}  // namespace

NamespaceVisit::~NamespaceVisit() {
  for (const Home& home : homes_) {
    if (setns(home.fd.get(), home.type) != 0) abort();
  }
}

StatusOr<UniqueFd> NamespaceVisit::Current(int type) {
  const std::string path = absl::StrCat("/proc/thread-self/ns/", NameOf(type));
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open ", path);
  return fd;
}

Status NamespaceVisit::Remember(int type) {
  ASSIGN_OR_RETURN(UniqueFd fd, Current(type));
  homes_.push_back({type, std::move(fd)});
  return absl::OkStatus();
}

Status NamespaceVisit::Unshare(int type) {
  RETURN_IF_ERROR(Remember(type));
  if (unshare(type) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "make ", NameOf(type), " namespace");
}

Status NamespaceVisit::Join(int type, int fd) {
  RETURN_IF_ERROR(Remember(type));
  if (setns(fd, type) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "join ", NameOf(type), " namespace");
}

}  // namespace crisp::runtime
