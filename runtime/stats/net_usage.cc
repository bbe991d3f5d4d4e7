#include "runtime/stats/net_usage.h"

#include <fcntl.h>
#include <sched.h>

#include <string>
#include <thread>

#include "runtime/stats/cgroup_files.h"

namespace crisp::runtime {

bool NetFiles::opened() const {
  const std::lock_guard<std::mutex> lock(mu_);
  return opened_;
}

std::vector<InterfaceUsage> NetFiles::Interfaces() {
  thread_local std::string buffer;
  const std::lock_guard<std::mutex> lock(mu_);
  if (!dev_.valid()) return {};
  return ParseNetDev(ReadKernelFile(dev_.get(), &buffer));
}

std::optional<uint64_t> NetFiles::Sockets() {
  thread_local std::string buffer;
  const std::lock_guard<std::mutex> lock(mu_);
  if (!sockstat_.valid()) return std::nullopt;
  return ParseSocketsUsed(ReadKernelFile(sockstat_.get(), &buffer));
}

void OpenNetFiles(const std::vector<std::pair<int, NetFiles*>>& wanted) {
  if (wanted.empty()) return;
  std::thread visitor([&wanted] {
    for (const auto& [netns, files] : wanted) {
      const std::lock_guard<std::mutex> lock(files->mu_);
      if (files->opened_ || setns(netns, CLONE_NEWNET) != 0) continue;
      files->dev_.Reset(open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC));
      files->sockstat_.Reset(open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC));
      files->opened_ = true;
    }
  });
  visitor.join();
}

}  // namespace crisp::runtime
