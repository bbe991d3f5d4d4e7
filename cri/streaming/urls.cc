#include "cri/streaming/urls.h"

#include <openssl/sha.h>
#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/stages.h"

namespace crisp::streaming {
namespace {

constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenText = 43;  // web-safe base64 without padding

absl::string_view PrefixOf(StreamKind kind) {
  switch (kind) {
    case StreamKind::kExec:
      return "/exec/";
    case StreamKind::kAttach:
      return "/attach/";
    case StreamKind::kPortForward:
      return "/portforward/";
  }
  return "";
}

std::string HashOf(absl::string_view token) {
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

StatusOr<std::string> MakeToken() {
  std::string random(kTokenBytes, '\0');
  // 256 bytes and fewer are never cut short once the pool is ready (getrandom(2)).
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size()))
    return ErrnoStatus(errno, "make token: getrandom");
  return absl::WebSafeBase64Escape(random);
}

}  // namespace

StreamUrls::StreamUrls(UrlLimits limits, std::function<int64_t()> now)
    : limits_(limits), now_(now ? std::move(now) : MonotonicNanos) {}

void StreamUrls::SetBase(std::string base) {
  const std::lock_guard lock(mutex_);
  base_ = std::move(base);
  if (base_.empty()) entries_.clear();
}

StatusOr<std::string> StreamUrls::Register(StreamRequest request) {
  ASSIGN_OR_RETURN(const std::string token, MakeToken());
  const std::lock_guard lock(mutex_);
  if (base_.empty()) return absl::UnavailableError("register stream: no streaming server listens");
  if (entries_.size() >= limits_.max_pending) DropExpired();
  if (entries_.size() >= limits_.max_pending)
    return absl::ResourceExhaustedError(
        absl::StrCat("register stream: ", entries_.size(), " URLs wait for their clients already"));
  const std::string url = absl::StrCat(base_, PrefixOf(request.kind), token);
  entries_[HashOf(token)] = {std::move(request), now_() + limits_.lifetime_ns};
  return url;
}

std::optional<StreamRequest> StreamUrls::Take(absl::string_view path) {
  for (const StreamKind kind : {StreamKind::kExec, StreamKind::kAttach, StreamKind::kPortForward}) {
    absl::string_view token = path;
    if (!absl::ConsumePrefix(&token, PrefixOf(kind)) || token.size() != kTokenText) continue;
    const std::string hash = HashOf(token);
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(hash);
    if (found == entries_.end() || found->second.request.kind != kind) return std::nullopt;
    Entry entry = std::move(found->second);
    entries_.erase(found);
    if (entry.deadline <= now_()) return std::nullopt;
    return std::move(entry.request);
  }
  return std::nullopt;
}

size_t StreamUrls::pending() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void StreamUrls::DropExpired() {
  const int64_t now = now_();
  for (auto it = entries_.begin(); it != entries_.end();)
    it = it->second.deadline <= now ? entries_.erase(it) : std::next(it);
}

}  // namespace crisp::streaming
