#include "imageservice/registry/client.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "imageservice/manifest.h"
#include "runtime/base/stages.h"

namespace crisp::image {
namespace {

constexpr int kMaxAttempts = 5;
constexpr int kMaxRedirects = 5;
constexpr int64_t kFirstWaitNanos = 100'000'000;
constexpr int64_t kMaxRetryAfterSeconds = 60;
constexpr auto kCancelPoll = std::chrono::milliseconds(50);

bool IsRedirect(int code) {
  return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

bool IsWorthRetrying(int code) {
  return code == 408 || code == 429 || code == 500 || code == 502 || code == 503 || code == 504;
}

// Where a redirect may lead: never from TLS to plain text, never to an address literal that only
// this node can reach (unless the registry itself is there).
Status CheckRedirect(const Url& registry, const Url& from, const Url& to) {
  if (from.scheme == "https" && to.scheme != "https") {
    return absl::InvalidArgumentError("redirect from HTTPS to plain HTTP refused");
  }
  if (IsLoopbackHost(to.host) && !IsLoopbackHost(registry.host)) {
    return absl::InvalidArgumentError("redirect to a loopback address refused");
  }
  return absl::OkStatus();
}

// "bytes 100-199/200" must continue where we are.
bool ContinuesAt(const std::string& content_range, uint64_t offset) {
  return absl::StartsWith(content_range, absl::StrCat("bytes ", offset, "-"));
}

}  // namespace

Status AnnotatePull(const Status& status, const Reference& reference) {
  const Status annotated = Annotate(status, "pull image \"", reference.Text(), "\"");
  if (status.code() != absl::StatusCode::kUnavailable) return annotated;
  return absl::UnavailableError(absl::StrCat(kRegistryUnavailable, annotated.message()));
}

StatusOr<Url> EndpointOf(const std::string& registry, const ImageOptions& options) {
  RegistryHost host;
  const auto configured = options.registries.find(registry);
  if (configured != options.registries.end()) host = configured->second;
  if (!host.endpoint.empty()) {
    auto url = ParseUrl(host.endpoint);
    if (!url.ok()) return Annotate(url.status(), "registries.", registry, ".endpoint");
    if (url->path == "/") url->path.clear();
    return url;
  }
  const bool tls_configured = !host.ca_file.empty() || host.skip_verify;
  const std::string name = registry == "docker.io" ? "registry-1.docker.io" : registry;
  ASSIGN_OR_RETURN(Url url, ParseUrl(absl::StrCat("https://", name)));
  if (host.plain_http || (IsLoopbackHost(url.host) && !tls_configured)) {
    ASSIGN_OR_RETURN(url, ParseUrl(absl::StrCat("http://", name)));
  }
  url.path.clear();
  return url;
}

// A session of its own for each request that runs.
class RegistryClient::SessionLease {
 public:
  explicit SessionLease(RegistryClient* client) : client_(client) {
    const std::lock_guard<std::mutex> lock(client_->mutex_);
    if (client_->idle_.empty()) {
      session_ = std::make_unique<HttpSession>();
    } else {
      session_ = std::move(client_->idle_.back());
      client_->idle_.pop_back();
    }
  }
  ~SessionLease() {
    const std::lock_guard<std::mutex> lock(client_->mutex_);
    client_->idle_.push_back(std::move(session_));
  }
  SessionLease(const SessionLease&) = delete;
  SessionLease& operator=(const SessionLease&) = delete;
  HttpSession* get() { return session_.get(); }

 private:
  RegistryClient* client_;
  std::unique_ptr<HttpSession> session_;
};

RegistryClient::RegistryClient(const Reference& reference, const RegistryClientOptions& options)
    : reference_(reference), options_(options) {
  auto endpoint = EndpointOf(reference.registry, *options.options);
  endpoint_status_ = endpoint.status();
  if (!endpoint.ok()) return;
  endpoint_ = *std::move(endpoint);
  const auto configured = options.options->registries.find(reference.registry);
  if (configured != options.options->registries.end()) {
    tls_ = {configured->second.skip_verify, configured->second.ca_file};
  }
  const bool ours = CredentialsAreFor(*options.auth, reference.registry, endpoint_);
  authenticator_ =
      std::make_unique<Authenticator>(ours ? options.auth : nullptr, endpoint_,
                                      reference.repository, tls_, &options.state->cancelled);
}

StatusOr<HttpResponse> RegistryClient::Follow(HttpSession* session, const Get& get,
                                              const std::string& header) {
  HttpRequest request;
  request.url = endpoint_;
  request.url.path += get.path;
  request.tls = tls_;
  request.allow_loopback = true;  // the operator's own endpoint (or proxy)
  request.max_body = kMaxManifestBytes;
  request.max_stream = get.max_stream;
  request.head = get.head;
  request.sink = get.sink;
  request.cancelled = &options_.state->cancelled;
  for (int hop = 0;; ++hop) {
    request.headers = get.headers;
    // The secret never leaves the registry's origin.
    const bool at_home = request.url.SameOrigin(endpoint_);
    if (at_home && !header.empty()) request.headers.push_back(header);
    ASSIGN_OR_RETURN(HttpResponse response, session->Exchange(request));
    if (!IsRedirect(response.code)) return response;
    if (hop == kMaxRedirects) return absl::InvalidArgumentError("more than 5 redirects");
    auto next = ResolveUrl(request.url, response.Header("location"));
    if (!next.ok()) return Annotate(next.status(), "redirect of ", request.url.Printable());
    RETURN_IF_ERROR(CheckRedirect(endpoint_, request.url, *next));
    request.url = *std::move(next);
    request.allow_loopback = IsLoopbackHost(endpoint_.host);
    if (!request.url.SameOrigin(endpoint_)) request.tls = TlsOptions();
  }
}

// With the answer to a 401, once for each new token.
StatusOr<HttpResponse> RegistryClient::GetOnce(HttpSession* session, const Get& get) {
  for (int round = 0;; ++round) {
    const std::string header = authenticator_->Header();
    ASSIGN_OR_RETURN(HttpResponse response, Follow(session, get, header));
    if (response.code != 401 || round == 2) return response;
    RETURN_IF_ERROR(authenticator_->Answer(session, response, header));
  }
}

// Backs off 0.1, 0.2, 0.4, 0.8 s, or as long as the server says within a minute.
Status RegistryClient::Wait(int attempt, const std::string& retry_after) {
  int64_t wait = kFirstWaitNanos << attempt;
  int64_t seconds = 0;
  if (absl::SimpleAtoi(retry_after, &seconds) && seconds >= 0) {
    wait = std::min(seconds, kMaxRetryAfterSeconds) * 1'000'000'000;
  }
  const int64_t end = MonotonicNanos() + wait;
  while (MonotonicNanos() < end) {
    if (Cancelled()) return absl::CancelledError("cancelled");
    const auto rest = std::chrono::nanoseconds(std::max<int64_t>(end - MonotonicNanos(), 0));
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(rest, kCancelPoll));
  }
  return absl::OkStatus();
}

Status RegistryClient::CodeError(const HttpResponse& response, const std::string& what) const {
  const std::string detail =
      absl::StrCat(what, ": ", endpoint_.Printable(), " answered ", response.code, " ",
                   absl::CHexEscape(absl::string_view(response.body).substr(0, 256)));
  switch (response.code) {
    case 401:
      return absl::UnauthenticatedError(detail);
    case 403:
      return absl::PermissionDeniedError(detail);
    case 404:
      return absl::NotFoundError(absl::StrCat("not found: ", detail));
    default:
      if (IsWorthRetrying(response.code)) return absl::UnavailableError(detail);
      return absl::UnknownError(detail);
  }
}

StatusOr<HttpResponse> RegistryClient::GetWithRetries(const Get& get) {
  RETURN_IF_ERROR(endpoint_status_);
  SessionLease session(this);
  for (int attempt = 0;; ++attempt) {
    StatusOr<HttpResponse> response = GetOnce(session.get(), get);
    const bool broken = absl::IsUnavailable(response.status());
    const bool busy = response.ok() && IsWorthRetrying(response->code);
    if ((!broken && !busy) || attempt + 1 == kMaxAttempts) return response;
    RETURN_IF_ERROR(Wait(attempt, busy ? response->Header("retry-after") : ""));
  }
}

StatusOr<FetchedDocument> RegistryClient::Manifest(const std::string& digest) {
  const std::string name = digest.empty() ? reference_.tag : digest;
  Get get;
  get.path = absl::StrCat("/v2/", reference_.repository, "/manifests/", name);
  get.headers.push_back(absl::StrCat("Accept: ", AcceptedManifestTypes()));
  ASSIGN_OR_RETURN(HttpResponse response, GetWithRetries(get));
  if (response.code != 200) return CodeError(response, absl::StrCat("manifest ", name));
  return FetchedDocument{std::move(response.body), response.Header("content-type")};
}

// One run over the blob, from `run->received` on.
Status RegistryClient::StreamOnce(HttpSession* session, const Descriptor& blob, StreamRun* run,
                                  const ByteSink& sink) {
  const uint64_t start = run->received;
  uint64_t position = 0;  // in the blob, of the answer's next byte
  Get get;
  get.path = absl::StrCat("/v2/", reference_.repository, "/blobs/", blob.digest);
  if (start > 0) get.headers.push_back(absl::StrCat("Range: bytes=", start, "-"));
  get.max_stream = blob.size;
  get.head = [&](const HttpResponse& response) -> Status {
    if (response.code == 200) return absl::OkStatus();
    position = start;
    const bool continues =
        start > 0 && response.code == 206 && ContinuesAt(response.Header("content-range"), start);
    if (continues) return absl::OkStatus();
    return absl::InvalidArgumentError("the answer to a range request is another range");
  };
  get.sink = [&](absl::string_view bytes) -> Status {
    // A server that ignores Range starts again: what we have is skipped.
    const uint64_t known = run->received - position;
    const size_t skip = static_cast<size_t>(std::min<uint64_t>(known, bytes.size()));
    position += bytes.size();
    bytes.remove_prefix(skip);
    if (bytes.empty()) return absl::OkStatus();
    if (bytes.size() > blob.size - run->received) {
      return absl::InvalidArgumentError("blob is larger than its descriptor says");
    }
    run->sink_status = sink(bytes);
    if (run->sink_status.ok()) run->received += bytes.size();
    return run->sink_status;
  };
  ASSIGN_OR_RETURN(const HttpResponse response, GetOnce(session, get));
  if (response.code != 200 && response.code != 206) {
    return CodeError(response, absl::StrCat("blob ", blob.digest));
  }
  return absl::OkStatus();
}

Status RegistryClient::Stream(const Descriptor& blob, const ByteSink& sink) {
  RETURN_IF_ERROR(endpoint_status_);
  SessionLease session(this);
  StreamRun run;
  for (int attempt = 0, short_answers = 0;; ++attempt) {
    const Status status = StreamOnce(session.get(), blob, &run, sink);
    if (!run.sink_status.ok()) return run.sink_status;
    if (status.ok()) {
      if (run.received == blob.size) return absl::OkStatus();
      // It said it was done: asked once more for the rest, not for ever.
      if (++short_answers == 2) {
        return absl::InvalidArgumentError(absl::StrCat("blob ", blob.digest, " is truncated: got ",
                                                       run.received, " of ", blob.size, " bytes"));
      }
    }
    const bool retry = status.ok() || absl::IsUnavailable(status);
    if (!retry || attempt + 1 == kMaxAttempts) return status;
    RETURN_IF_ERROR(Wait(attempt, ""));
  }
}

}  // namespace crisp::image
