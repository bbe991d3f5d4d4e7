#include "cni/builtin/host_local_store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "runtime/base/files.h"
#include "runtime/sys/retry.h"

namespace crisp::cni {
namespace {

constexpr size_t kMaxFile = 4096;

std::string Content(const std::string& container_id, const std::string& ifname) {
  return absl::StrCat(container_id, "\r\n", ifname);
}

// Files of old versions have no interface name: they belong to every one of the container.
bool BelongsTo(absl::string_view content, const std::string& container_id,
               const std::string& ifname) {
  content = absl::StripAsciiWhitespace(content);
  return content == Content(container_id, ifname) || content == container_id;
}

}  // namespace

StatusOr<HostLocalStore> HostLocalStore::Open(const std::string& dir, const std::string& network) {
  const std::string path = absl::StrCat(dir, "/", network);
  RETURN_IF_ERROR(MakeDirs(path, 0755));
  ASSIGN_OR_RETURN(UniqueFd folder, OpenDir(path));
  UniqueFd lock(openat(folder.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, "open ", path, "/lock");
  if (sys::Retry([&] { return flock(lock.get(), LOCK_EX); }) != 0)
    return ErrnoStatus(errno, "lock ", path);
  return HostLocalStore(std::move(folder), std::move(lock));
}

std::optional<IpAddr> HostLocalStore::LastReserved(size_t set_number) const {
  const StatusOr<std::string> text =
      ReadFileAt(dir_.get(), absl::StrCat("last_reserved_ip.", set_number), kMaxFile);
  if (!text.ok()) return std::nullopt;
  const StatusOr<IpAddr> ip = ParseIp(absl::StripAsciiWhitespace(*text));
  return ip.ok() ? std::optional<IpAddr>(*ip) : std::nullopt;
}

Status HostLocalStore::ReserveExactly(const IpAddr& ip, const std::string& container_id,
                                      const std::string& ifname) {
  const std::string name = ip.ToString();
  UniqueFd file(openat(dir_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoStatus(errno, "reserve address ", name);
  const Status status = WriteAll(file.get(), Content(container_id, ifname));
  if (!status.ok()) unlinkat(dir_.get(), name.c_str(), 0);
  return Annotate(status, "reserve address ", name);
}

StatusOr<IpAddr> HostLocalStore::Reserve(const RangeSet& set, size_t set_number,
                                         const std::string& container_id,
                                         const std::string& ifname) {
  Status problem;
  const std::optional<IpAddr> ip =
      TakeNext(set, LastReserved(set_number), [&](const IpAddr& candidate) {
        const Status status = ReserveExactly(candidate, container_id, ifname);
        if (status.ok() || absl::IsAlreadyExists(status)) return status.ok();
        problem = status;  // a full disk ends the search
        return true;
      });
  RETURN_IF_ERROR(problem);
  if (!ip)
    return absl::ResourceExhaustedError(absl::StrCat("no free address in range set ", set_number));
  const Status status = WriteFileAtomic(dir_.get(), absl::StrCat("last_reserved_ip.", set_number),
                                        ip->ToString(), 0600, false);
  if (!status.ok()) unlinkat(dir_.get(), ip->ToString().c_str(), 0);
  RETURN_IF_ERROR(status);
  return *ip;
}

Status HostLocalStore::ForEach(
    const std::function<Status(const IpAddr&, const std::string&)>& each) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(dir_.get()));
  for (const std::string& name : names) {
    const StatusOr<IpAddr> ip = ParseIp(name);
    if (!ip.ok()) continue;
    const StatusOr<std::string> content = ReadFileAt(dir_.get(), name, kMaxFile);
    if (content.ok()) RETURN_IF_ERROR(each(*ip, *content));
  }
  return absl::OkStatus();
}

Status HostLocalStore::Release(const std::string& container_id, const std::string& ifname) {
  return ForEach([&](const IpAddr& ip, const std::string& content) -> Status {
    if (!BelongsTo(content, container_id, ifname)) return absl::OkStatus();
    if (unlinkat(dir_.get(), ip.ToString().c_str(), 0) == 0 || errno == ENOENT)
      return absl::OkStatus();
    return ErrnoStatus(errno, "release address ", ip.ToString());
  });
}

StatusOr<std::vector<IpAddr>> HostLocalStore::Find(const std::string& container_id,
                                                   const std::string& ifname) const {
  std::vector<IpAddr> ips;
  RETURN_IF_ERROR(ForEach([&](const IpAddr& ip, const std::string& content) {
    if (BelongsTo(content, container_id, ifname)) ips.push_back(ip);
    return absl::OkStatus();
  }));
  return ips;
}

Status HostLocalStore::ReleaseOthers(
    const std::vector<std::pair<std::string, std::string>>& valid) {
  return ForEach([&](const IpAddr& ip, const std::string& content) -> Status {
    for (const auto& [id, ifname] : valid)
      if (BelongsTo(content, id, ifname)) return absl::OkStatus();
    if (unlinkat(dir_.get(), ip.ToString().c_str(), 0) == 0 || errno == ENOENT)
      return absl::OkStatus();
    return ErrnoStatus(errno, "release address ", ip.ToString());
  });
}

}  // namespace crisp::cni
