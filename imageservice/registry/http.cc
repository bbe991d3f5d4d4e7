#include "imageservice/registry/http.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "imageservice/registry/curl_api.h"
#include "runtime/base/stages.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;
constexpr size_t kMaxErrorBody = 4 << 10;
constexpr long kConnectSeconds = 15;
constexpr int kPollMillis = 50;
// Slower than this over the window is a dead peer or a slow-loris.
constexpr int64_t kStallNanos = 30'000'000'000;
constexpr uint64_t kStallBytes = 30 << 10;

// One request while it runs; the callbacks' user data.
struct Transfer {
  const HttpRequest* request = nullptr;
  HttpResponse response;
  size_t header_bytes = 0;
  uint64_t body_bytes = 0;
  Status failure;  // why a callback stopped the transfer
  int64_t window_start = 0;
  uint64_t window_bytes = 0;

  bool Stop(Status status) {
    failure = std::move(status);
    return false;
  }
  bool AddHeader(absl::string_view line);
  bool AddBody(absl::string_view bytes);
  bool Stalled();
};

bool Transfer::AddHeader(absl::string_view line) {
  header_bytes += line.size();
  if (header_bytes > kMaxHeaderBytes) {
    return Stop(absl::InvalidArgumentError("response headers larger than 64 KiB"));
  }
  line = absl::StripTrailingAsciiWhitespace(line);
  if (absl::StartsWith(line, "HTTP/")) {  // also of the answer after a 100 Continue
    response = HttpResponse();
    const size_t blank = line.find(' ');
    if (blank == absl::string_view::npos ||
        !absl::SimpleAtoi(line.substr(blank + 1, 3), &response.code)) {
      return Stop(absl::InvalidArgumentError("malformed status line"));
    }
    return true;
  }
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return true;
  const std::string name = absl::AsciiStrToLower(line.substr(0, colon));
  const std::string value(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  if (name == "www-authenticate") response.challenges.push_back(value);
  response.headers[name] = value;
  return true;
}

bool Transfer::AddBody(absl::string_view bytes) {
  body_bytes += bytes.size();
  window_bytes += bytes.size();
  const bool good = response.code >= 200 && response.code < 300;
  if (!good) {
    const size_t room = kMaxErrorBody - std::min(kMaxErrorBody, response.body.size());
    response.body.append(bytes.data(), std::min(room, bytes.size()));
    if (body_bytes > (1 << 20)) return Stop(absl::UnavailableError("endless error answer"));
    return true;
  }
  // What nobody asked for would be decoded by nobody: the digest is of the bytes as stored.
  const std::string encoding = response.Header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    return Stop(absl::InvalidArgumentError("answer with a Content-Encoding"));
  }
  if (!request->sink) {
    if (body_bytes > request->max_body) {
      return Stop(absl::InvalidArgumentError(
          absl::StrCat("answer larger than ", request->max_body, " bytes")));
    }
    response.body.append(bytes.data(), bytes.size());
    return true;
  }
  if (body_bytes > request->max_stream) {
    return Stop(absl::InvalidArgumentError(
        absl::StrCat("blob is larger than the ", request->max_stream, " bytes expected")));
  }
  if (request->head && body_bytes == bytes.size()) {
    Status status = request->head(response);
    if (!status.ok()) return Stop(std::move(status));
  }
  Status status = request->sink(bytes);
  window_start = MonotonicNanos();  // time spent below is not the peer's
  window_bytes = 0;
  return status.ok() || Stop(std::move(status));
}

bool Transfer::Stalled() {
  const int64_t now = MonotonicNanos();
  if (window_start == 0) window_start = now;
  if (window_bytes >= kStallBytes) {
    window_start = now;
    window_bytes = 0;
  }
  return now - window_start > kStallNanos;
}

size_t OnHeader(char* data, size_t size, size_t count, void* user) {
  return static_cast<Transfer*>(user)->AddHeader({data, size * count}) ? size * count : 0;
}

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  const size_t bytes = size * count;
  return static_cast<Transfer*>(user)->AddBody({data, bytes}) ? bytes : bytes + 1;
}

// Cloud metadata services live at link-local addresses: never reached, whatever a name says.
bool AddressAllowed(const sockaddr* address, bool allow_loopback) {
  if (address->sa_family == AF_INET) {
    const uint32_t v4 = ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
    if (v4 >> 16 == 0xa9fe || v4 >> 24 == 0) return false;
    return allow_loopback || v4 >> 24 != 127;
  }
  if (address->sa_family == AF_INET6) {
    const in6_addr& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      sockaddr_in mapped{};
      mapped.sin_family = AF_INET;
      memcpy(&mapped.sin_addr, v6.s6_addr + 12, 4);
      return AddressAllowed(reinterpret_cast<const sockaddr*>(&mapped), allow_loopback);
    }
    if (IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6)) return false;
    return allow_loopback || !IN6_IS_ADDR_LOOPBACK(&v6);
  }
  return false;
}

curl_socket_t OnOpenSocket(void* user, curlsocktype, curl_sockaddr* address) {
  auto* transfer = static_cast<Transfer*>(user);
  if (!AddressAllowed(&address->addr, transfer->request->allow_loopback)) {
    transfer->failure =
        absl::InvalidArgumentError("connection to a link-local or loopback address refused");
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

struct HttpSession::Handles {
  const CurlApi* api = nullptr;
  CURL* easy = nullptr;
  CURLM* multi = nullptr;
};

namespace {

template <typename Value>
void Set(const CurlApi* api, CURL* easy, CURLoption option, Value value) {
  api->easy_setopt(easy, option, value);
}

void Prepare(const CurlApi* api, CURL* easy, const HttpRequest& request, const std::string& url,
             curl_slist* headers, Transfer* transfer) {
  api->easy_reset(easy);
  Set(api, easy, CURLOPT_URL, url.c_str());
  Set(api, easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(api, easy, CURLOPT_FOLLOWLOCATION, 0L);
  Set(api, easy, CURLOPT_NOSIGNAL, 1L);
  Set(api, easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  Set(api, easy, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  Set(api, easy, CURLOPT_BUFFERSIZE, 512L << 10);
  Set(api, easy, CURLOPT_USERAGENT, "crisp");
  Set(api, easy, CURLOPT_HTTPHEADER, headers);
  Set(api, easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(api, easy, CURLOPT_HEADERDATA, transfer);
  Set(api, easy, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(api, easy, CURLOPT_WRITEDATA, transfer);
  Set(api, easy, CURLOPT_OPENSOCKETFUNCTION, &OnOpenSocket);
  Set(api, easy, CURLOPT_OPENSOCKETDATA, transfer);
  if (IsLoopbackHost(request.url.host)) Set(api, easy, CURLOPT_NOPROXY, "*");
  if (!request.tls.ca_file.empty()) {
    Set(api, easy, CURLOPT_CAINFO, request.tls.ca_file.c_str());
  }
  if (request.tls.skip_verify) {
    Set(api, easy, CURLOPT_SSL_VERIFYPEER, 0L);
    Set(api, easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!request.form.empty()) {
    Set(api, easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form.size()));
    Set(api, easy, CURLOPT_POSTFIELDS, request.form.c_str());
  }
}

// Drives the transfer in short steps, so that a cancel is seen within 100 ms.
Status Drive(const CurlApi* api, CURLM* multi, Transfer* transfer) {
  for (;;) {
    int running = 0;
    if (api->multi_perform(multi, &running) != CURLM_OK) {
      return absl::InternalError("curl_multi_perform failed");
    }
    int left = 0;
    while (const CURLMsg* message = api->multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      if (!transfer->failure.ok()) return transfer->failure;
      if (code == CURLE_OK) return absl::OkStatus();
      if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        return absl::FailedPreconditionError(  // trying again would change nothing
            absl::StrCat("TLS certificate not trusted: ", api->easy_strerror(code)));
      }
      return absl::UnavailableError(api->easy_strerror(code));
    }
    if (running == 0) return absl::InternalError("transfer ended without a result");
    const std::atomic<bool>* cancelled = transfer->request->cancelled;
    if (cancelled != nullptr && cancelled->load()) return absl::CancelledError("cancelled");
    if (transfer->Stalled()) {
      return absl::UnavailableError("stalled: less than 1 KiB/s for 30 s");
    }
    api->multi_poll(multi, nullptr, 0, kPollMillis, nullptr);
  }
}

}  // namespace

HttpSession::HttpSession() = default;

HttpSession::~HttpSession() {
  if (!handles_) return;
  if (handles_->easy != nullptr) handles_->api->easy_cleanup(handles_->easy);
  if (handles_->multi != nullptr) handles_->api->multi_cleanup(handles_->multi);
}

StatusOr<HttpResponse> HttpSession::Exchange(const HttpRequest& request) {
  if (!handles_) {
    auto handles = std::make_unique<Handles>();
    ASSIGN_OR_RETURN(handles->api, LoadCurl());
    handles->easy = handles->api->easy_init();
    handles->multi = handles->api->multi_init();
    handles_ = std::move(handles);
  }
  const CurlApi* api = handles_->api;
  if (handles_->easy == nullptr || handles_->multi == nullptr) {
    return absl::ResourceExhaustedError("libcurl: out of memory");
  }
  Transfer transfer;
  transfer.request = &request;
  const std::string url = request.url.Text();
  curl_slist* headers = nullptr;
  for (const std::string& header : request.headers) {
    headers = api->slist_append(headers, header.c_str());
  }
  Prepare(api, handles_->easy, request, url, headers, &transfer);
  Status status = absl::InternalError("curl_multi_add_handle failed");
  if (api->multi_add_handle(handles_->multi, handles_->easy) == CURLM_OK) {
    status = Drive(api, handles_->multi, &transfer);
    api->multi_remove_handle(handles_->multi, handles_->easy);
  }
  api->slist_free_all(headers);
  if (!status.ok()) return Annotate(status, request.url.Printable());
  return std::move(transfer.response);
}

}  // namespace crisp::image
