// One HTTP exchange at a time, without any policy: no redirects, no authentication, no retries
// (client.cc). The only user of libcurl, which is loaded at the first request: a daemon that never
// pulls does not pay for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "imageservice/layers/layer_store.h"
#include "imageservice/registry/url.h"
#include "runtime/base/status.h"

namespace crisp::image {

struct HttpResponse;

struct TlsOptions {
  bool skip_verify = false;
  std::string ca_file;  // empty: the system's
};

struct HttpRequest {
  Url url;
  std::vector<std::string> headers;  // "Name: value"
  std::string form;                  // not empty: POST of this body
  TlsOptions tls;
  bool allow_loopback = false;  // the address may be a loopback one
  size_t max_body = 4 << 20;    // of a collected body
  uint64_t max_stream = 0;      // of a streamed one
  // Called before the first byte of a 2xx answer is given to the sink.
  std::function<Status(const HttpResponse&)> head;
  // Given the bytes of a 2xx answer; without it they are collected.
  ByteSink sink;
  const std::atomic<bool>* cancelled = nullptr;
};

struct HttpResponse {
  int code = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::vector<std::string> challenges;         // every WWW-Authenticate
  std::string body;                            // of an error answer: its beginning

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// Connections are kept between requests. Used by one thread.
class HttpSession {
 public:
  HttpSession();
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // UNAVAILABLE: no answer, or it broke off (worth another try); CANCELLED; INVALID_ARGUMENT: the
  // answer breaks a limit; FAILED_PRECONDITION: its certificate is not trusted; otherwise the
  // sink's own error.
  StatusOr<HttpResponse> Exchange(const HttpRequest& request);

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace crisp::image
