// kill -9 of a daemon in the middle of a pull: the next Open finds a consistent store, whole images
// are there, half-made ones are not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fake_registry.h"
#include "fixture.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

std::string Noise(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TestImage NoiseImage(unsigned seed) {
  std::vector<TestLayer> layers;
  for (unsigned i = 0; i < 3; ++i) {
    TarBuilder tar;
    for (int file = 0; file < 20; ++file) {
      tar.File(absl::StrCat("d/f", file), Noise(20000, seed * 100 + i));
    }
    layers.push_back({tar.End(), i == 1 ? "zstd" : "gzip"});
  }
  return MakeImage(layers);
}

// The daemon of this test: pulls the image, says how it went, waits to be killed. A program of its
// own, not a fork: this one has threads.
[[noreturn]] void Child(const std::string& root, const std::string& reference) {
  auto service = ImageService::Open(OptionsFor(root));
  if (!service.ok()) _exit(3);
  const auto id = (*service)->Pull(reference, {}, [] { return false; });
  const char said = id.ok() ? 'd' : 'f';
  if (write(STDOUT_FILENO, &said, 1) != 1) _exit(4);
  for (;;) pause();
}

pid_t StartChild(const std::string& root, const std::string& reference, int out) {
  std::string arguments[] = {"image_kill_test", "--child", root, reference};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                  arguments[3].data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

class KillTest : public testing::Test {
 protected:
  // Runs a pull in a child and kills it after the registry has seen `requests` requests, or when it
  // is done. True if it was done.
  bool PullAndKill(const std::string& name, FakeRegistry* registry, size_t requests) {
    int pipe_fds[2];
    EXPECT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
    const size_t before = registry->requests().size();
    const pid_t pid = StartChild(temp_.Sub("images"), registry->host() + "/" + name, pipe_fds[1]);
    close(pipe_fds[1]);
    pollfd item{pipe_fds[0], POLLIN, 0};
    bool done = false;
    while (!done && registry->requests().size() < before + requests) done = poll(&item, 1, 1) > 0;
    kill(pid, SIGKILL);
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
    char said = 0;
    const bool told = read(pipe_fds[0], &said, 1) == 1 && said == 'd';
    close(pipe_fds[0]);
    return told;
  }

  void CheckStore(const TestImage& image, const std::string& reference, bool must_exist) {
    const auto service = OpenService(temp_.Sub("images"));
    ASSERT_NE(service, nullptr);
    const auto found = service->Find(reference);
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(found->has_value() || !must_exist);
    size_t expected = 0;
    if (found->has_value()) {
      const auto handle = service->Acquire(reference);
      ASSERT_TRUE(handle.ok());
      expected = handle->lower_dirs.size();
      for (const std::string& dir : handle->lower_dirs) {
        for (int file = 0; file < 20; ++file) {
          EXPECT_EQ(ReadText(absl::StrCat(dir, "/d/f", file)).size(), 20000U);
        }
      }
      EXPECT_EQ((*found)->id, DigestOf(image.config));
    }
    size_t layers = 0;
    for (const auto& entry : std::filesystem::directory_iterator(temp_.Sub("images/layers"))) {
      EXPECT_EQ(entry.path().filename().string().size(), 64U) << entry.path();
      ++layers;
    }
    EXPECT_EQ(layers, expected) << "no half-made and no unreferenced layer";
    for (const auto& entry : std::filesystem::directory_iterator(temp_.Sub("images/records"))) {
      EXPECT_EQ(entry.path().filename().string().size(), 64U) << entry.path();
    }
    EXPECT_TRUE(service->Remove(reference).ok());
  }

  TempDir temp_;
};

TEST_F(KillTest, AtEveryRequestOfAPull) {
  for (unsigned round = 0; round < 24; ++round) {
    const TestImage image = NoiseImage(round);
    FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(image, request); });
    const bool done = PullAndKill("app", &registry, 1 + round % 6);
    SCOPED_TRACE(round);
    CheckStore(image, registry.host() + "/app", done);
  }
}

TEST_F(KillTest, FinishedPullsSurvive) {
  const TestImage image = NoiseImage(1000);
  FakeRegistry registry([&](const FakeRequest& request) { return ServeImage(image, request); });
  EXPECT_TRUE(PullAndKill("app", &registry, 1000));
  CheckStore(image, registry.host() + "/app", true);
}

}  // namespace
}  // namespace crisp::image

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--child") crisp::image::Child(argv[2], argv[3]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
