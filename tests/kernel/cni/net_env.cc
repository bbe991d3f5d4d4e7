#include "tests/kernel/cni/net_env.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "runtime/base/files.h"
#include "runtime/base/stages.h"

namespace crisp::cni {

int Shell(int netns_fd, const std::string& command, std::string* out) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) != 0) _exit(126);
    dup2(pipe_fds[1], 1);
    dup2(pipe_fds[1], 2);
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  close(pipe_fds[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(pipe_fds[0], buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  close(pipe_fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (out) *out = text;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Eventually(const std::function<bool()>& condition, int timeout_ms) {
  const int64_t end = MonotonicNanos() + int64_t{timeout_ms} * 1'000'000;
  while (!condition()) {
    if (MonotonicNanos() > end) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

int CountOpenFds() {
  const StatusOr<UniqueFd> dir = OpenDir("/proc/self/fd");
  return dir.ok() ? static_cast<int>(ListDir(dir->get())->size()) : -1;
}

int CountLinks(const std::string& part) {
  std::string out;
  Shell(-1, "ip -d -o link", &out);
  int count = 0;
  for (size_t at = 0; (at = out.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

void NodeTest::SetUp() {
  ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "needs root";
  char name[] = "/tmp/crisp-cni-XXXXXX";
  root_ = mkdtemp(name);
  for (const char* dir : {"/conf", "/bin", "/state"}) ASSERT_TRUE(MakeDirs(root_ + dir, 0755).ok());
  ASSERT_EQ(Shell(-1, "ip link set lo up"), 0);
}

void NodeTest::TearDown() {
  if (root_.empty()) return;
  // Pins of pods that the test left alive.
  Shell(-1, "grep -o '" + root_ + "[^ ]*' /proc/self/mountinfo | xargs -r umount -l");
  EXPECT_EQ(Shell(-1, "rm -rf --one-file-system " + root_), 0);
}

NetworkOptions NodeTest::Options() {
  NetworkOptions options;
  options.conf_dirs = {root_ + "/conf"};
  options.bin_dirs = {root_ + "/bin"};
  options.state_dir = root_ + "/state/network";
  options.pool_size = 0;
  return options;
}

std::unique_ptr<NetworkManager> NodeTest::OpenNetwork(const NetworkOptions& options) {
  StatusOr<std::unique_ptr<NetworkManager>> network = NetworkManager::Open(options);
  EXPECT_TRUE(network.ok()) << network.status();
  return network.ok() ? std::move(*network) : nullptr;
}

PodIdentity NodeTest::Pod(const std::string& name) {
  PodIdentity pod;
  pod.name = name;
  pod.ns = "default";
  pod.uid = "uid-" + name;
  pod.sandbox_id = std::string(64 - std::min<size_t>(64, name.size()), '0') + name;
  return pod;
}

void NodeTest::WriteConf(const std::string& name, const std::string& text) {
  std::ofstream(root_ + "/conf/" + name) << text;
}

}  // namespace crisp::cni

// One private mount namespace for the program: pins of network namespaces stay invisible outside.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("none", "/run", "tmpfs", 0, nullptr) != 0) {
    perror("needs root: unshare(CLONE_NEWNS)");
    return 1;
  }
  return RUN_ALL_TESTS();
}
