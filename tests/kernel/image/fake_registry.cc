#include "fake_registry.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "imageservice/content/digest.h"

namespace crisp::image {
namespace {

bool ReadRequest(int fd, std::string* buffer, FakeRequest* request) {
  size_t end = std::string::npos;
  while ((end = buffer->find("\r\n\r\n")) == std::string::npos) {
    char bytes[4096];
    const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n <= 0) return false;
    buffer->append(bytes, static_cast<size_t>(n));
  }
  std::istringstream head(buffer->substr(0, end));
  buffer->erase(0, end + 4);
  std::string line;
  std::getline(head, line);
  std::istringstream first(line);
  first >> request->method >> request->path;
  while (std::getline(head, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    request->headers[absl::AsciiStrToLower(line.substr(0, colon))] =
        std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  const std::string length = request->Header("content-length");
  const size_t size = length.empty() ? 0 : std::stoul(length);
  while (buffer->size() < size) {
    char bytes[4096];
    const ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n <= 0) return false;
    buffer->append(bytes, static_cast<size_t>(n));
  }
  request->body = buffer->substr(0, size);
  buffer->erase(0, size);
  return true;
}

bool SendAll(int fd, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

FakeRegistry::FakeRegistry(Handler handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(listen(listener_, 64), 0);
  EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  port_ = ntohs(address.sin_port);
  accepter_ = std::thread([this] { Accept(); });
}

FakeRegistry::~FakeRegistry() {
  ending_ = true;
  shutdown(listener_, SHUT_RDWR);
  accepter_.join();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const int fd : connections_) shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : connections_) close(fd);
  close(listener_);
}

void FakeRegistry::Accept() {
  while (!ending_) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    connections_.push_back(fd);
    threads_.emplace_back([this, fd] { Serve(fd); });
  }
}

void FakeRegistry::Serve(int fd) {
  std::string buffer;
  for (;;) {
    FakeRequest request;
    if (!ReadRequest(fd, &buffer, &request)) break;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      requests_.push_back(request);
    }
    const FakeReply reply = handler_(request);
    if (!reply.raw.empty()) {
      SendAll(fd, reply.raw);
      break;
    }
    std::string head = absl::StrCat("HTTP/1.1 ", reply.code, " X\r\n");
    for (const auto& [name, value] : reply.headers)
      absl::StrAppend(&head, name, ": ", value, "\r\n");
    if (reply.content_length != -2) {
      const int64_t length = reply.content_length >= 0 ? reply.content_length
                                                       : static_cast<int64_t>(reply.body.size());
      absl::StrAppend(&head, "Content-Length: ", length, "\r\n");
    }
    if (!SendAll(fd, head + "\r\n")) break;
    if (reply.before) reply.before();
    if (!SendAll(fd, reply.body) || reply.content_length != -1) break;
  }
  shutdown(fd, SHUT_RDWR);
}

std::vector<FakeRequest> FakeRegistry::requests() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

size_t FakeRegistry::CountOf(const std::string& path_part) {
  size_t count = 0;
  for (const FakeRequest& request : requests()) {
    if (absl::StrContains(request.path, path_part)) ++count;
  }
  return count;
}

FakeReply ServeImage(const TestImage& image, const FakeRequest& request) {
  FakeReply reply;
  const std::string manifest = DigestOf(image.manifest);
  if (absl::EndsWith(request.path, "/manifests/latest") ||
      absl::EndsWith(request.path, "/manifests/" + manifest)) {
    reply.headers["Content-Type"] = absl::StrContains(image.manifest, "vnd.docker.distribution")
                                        ? "application/vnd.docker.distribution.manifest.v2+json"
                                        : "application/vnd.oci.image.manifest.v1+json";
    reply.body = image.manifest;
    return reply;
  }
  std::vector<std::string> blobs = image.blobs;
  blobs.push_back(image.config);
  for (const std::string& blob : blobs) {
    if (!absl::EndsWith(request.path, "/blobs/" + DigestOf(blob))) continue;
    reply.body = blob;
    const std::string range = request.Header("range");
    if (!range.empty()) {
      const size_t start = std::stoul(range.substr(6));
      reply.code = 206;
      reply.headers["Content-Range"] =
          absl::StrCat("bytes ", start, "-", blob.size() - 1, "/", blob.size());
      reply.body = blob.substr(start);
    }
    return reply;
  }
  reply.code = 404;
  return reply;
}

}  // namespace crisp::image
