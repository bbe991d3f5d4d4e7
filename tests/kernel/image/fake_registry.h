// A scriptable HTTP/1.1 server on loopback: each test says what it answers, byte by byte if need
// be.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fixture.h"

namespace crisp::image {

struct FakeRequest {
  std::string method, path, body;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct FakeReply {
  int code = 200;
  std::map<std::string, std::string> headers;
  std::string body;
  int64_t content_length =
      -1;           // other than the body's; -2: none, the end of the connection ends it
  std::string raw;  // sent instead of everything else
  std::function<void()> before;  // runs before the body is sent
};

class FakeRegistry {
 public:
  using Handler = std::function<FakeReply(const FakeRequest&)>;
  explicit FakeRegistry(Handler handler);
  ~FakeRegistry();
  FakeRegistry(const FakeRegistry&) = delete;
  FakeRegistry& operator=(const FakeRegistry&) = delete;

  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string url() const { return "http://" + host(); }
  std::vector<FakeRequest> requests();
  size_t CountOf(const std::string& path_part);

 private:
  void Accept();
  void Serve(int fd);

  Handler handler_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> ending_{false};
  std::thread accepter_;
  std::mutex mutex_;
  std::vector<FakeRequest> requests_;
  std::vector<std::thread> threads_;
  std::vector<int> connections_;
};

// Serves one image well-behaved: tag "latest" and by digest; the starting point of scripts.
FakeReply ServeImage(const TestImage& image, const FakeRequest& request);

}  // namespace crisp::image
