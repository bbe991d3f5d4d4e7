#include "runtime/container/left_groups.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "runtime/base/files.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMaxGroups = 65536;
// An empty group may be busy for a moment, while its last task leaves the processor.
constexpr int kBusyMs = 50, kMaxBusy = 100;

std::string PathOf(int directory) {
  char path[PATH_MAX];
  const ssize_t length =
      readlink(absl::StrCat("/proc/self/fd/", directory).c_str(), path, sizeof(path));
  if (length <= 0 || length == static_cast<ssize_t>(sizeof(path)) || path[0] != '/') return "";
  return std::string(path, static_cast<size_t>(length));
}

bool Populated(const std::string& path) {
  const auto events = ReadFile(path + "/cgroup.events", 4096);
  return events.ok() && absl::StrContains(*events, "populated 1");
}

}  // namespace

StatusOr<std::unique_ptr<LeftGroups>> LeftGroups::Start() {
  UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events.valid()) return ErrnoStatus(errno, "make inotify instance");
  UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  if (!wake.valid()) return ErrnoStatus(errno, "make eventfd");
  return std::unique_ptr<LeftGroups>(new LeftGroups(std::move(events), std::move(wake)));
}

LeftGroups::LeftGroups(UniqueFd events, UniqueFd wake)
    : events_(std::move(events)), wake_(std::move(wake)), thread_([this] { Run(); }) {}

LeftGroups::~LeftGroups() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
    Wake();
  }
  thread_.join();
}

void LeftGroups::Wake() {
  const uint64_t one = 1;
  while (write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
}

void LeftGroups::RemoveWhenEmpty(int directory) {
  const std::string path = PathOf(directory);
  if (!path.empty()) Add(path);
}

void LeftGroups::TakeOver(int container) {
  const std::string path = PathOf(container);
  const auto directory = OpenDir(path);
  if (path.empty() || !directory.ok()) return;
  for (const std::string& name : ListDir(directory->get()).value_or(std::vector<std::string>{})) {
    if (absl::StartsWith(name, "exec-")) Add(absl::StrCat(path, "/", name));
  }
}

void LeftGroups::Add(const std::string& path) {
  const std::lock_guard<std::mutex> lock(mu_);
  if (groups_.size() >= kMaxGroups) return;
  const int watch =
      inotify_add_watch(events_.get(), absl::StrCat(path, "/cgroup.events").c_str(), IN_MODIFY);
  if (watch < 0) return;
  Group& group = groups_[watch];
  group.path = path;
  // Its last process may have ended before the watch stood.
  if (TryRemove(watch, group)) {
    groups_.erase(watch);
    return;
  }
  // No event will come for one that is empty and busy: the thread looks again by itself.
  if (group.busy > 0) Wake();
}

bool LeftGroups::TryRemove(int watch, Group& group) {
  if (Populated(group.path)) {
    group.busy = 0;
    return false;
  }
  // A container that may write to its cgroups can have made groups below: they go with it.
  const bool gone = rmdir(group.path.c_str()) == 0 || errno != EBUSY;
  if (!gone && ++group.busy < kMaxBusy) {
    any_busy_ = true;
    return false;
  }
  inotify_rm_watch(events_.get(), watch);
  return true;
}

void LeftGroups::TryAll(bool busy_only) {
  for (auto each = groups_.begin(); each != groups_.end();) {
    const bool look = !busy_only || each->second.busy > 0;
    each = look && TryRemove(each->first, each->second) ? groups_.erase(each) : std::next(each);
  }
}

void LeftGroups::ReadEvents() {
  alignas(inotify_event) char buffer[4096];
  for (;;) {
    const ssize_t size = read(events_.get(), buffer, sizeof(buffer));
    if (size <= 0) return;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(*event) + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        TryAll(false);
        continue;
      }
      const auto group = groups_.find(event->wd);
      if (group != groups_.end() && TryRemove(group->first, group->second)) groups_.erase(group);
    }
  }
}

void LeftGroups::Run() {
  int wait_ms = -1;
  for (bool stopping = false; !stopping;) {
    pollfd polls[2] = {{events_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(polls, 2, wait_ms) < 0) continue;
    uint64_t count = 0;
    if (polls[1].revents != 0 && read(wake_.get(), &count, sizeof(count)) < 0) continue;
    const std::lock_guard<std::mutex> lock(mu_);
    stopping = stopping_;
    ReadEvents();
    if (std::exchange(any_busy_, false)) TryAll(/*busy_only=*/true);
    wait_ms = any_busy_ ? kBusyMs : -1;
  }
}

}  // namespace crisp::runtime
