// A private "node" for each test: an own network namespace (and mount namespace) of the test's
// thread, and shell commands inside a namespace.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "cni/network_manager.h"
#include "cni/pod_network.h"

namespace crisp::cni {

// Runs `sh -c command` in a namespace (-1: this thread's); returns the exit code, output in *out.
int Shell(int netns_fd, const std::string& command, std::string* out = nullptr);

// Waits (by polling a condition of the kernel that sends no event to us) until it holds.
bool Eventually(const std::function<bool()>& condition, int timeout_ms = 5000);

int CountOpenFds();
int CountLinks(const std::string& kind_or_name_part);

class NodeTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  NetworkOptions Options();
  // A manager with no pool unless asked for.
  std::unique_ptr<NetworkManager> OpenNetwork(const NetworkOptions& options);
  PodIdentity Pod(const std::string& name);
  void WriteConf(const std::string& name, const std::string& text);

  std::string root_;  // <tmp>/crisp-cni-XXXXXX: conf, bin, state
};

}  // namespace crisp::cni
