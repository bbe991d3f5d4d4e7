#include "imageservice/registry/auth.h"

#include <string.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "runtime/base/json.h"

namespace crisp::image {
namespace {

constexpr size_t kMaxTokenAnswer = 256 << 10;
constexpr size_t kMaxToken = 64 << 10;

// "b.c" of "a.b.c"; empty unless at least two labels remain.
absl::string_view ParentDomain(absl::string_view host) {
  const size_t dot = host.find('.');
  if (dot == absl::string_view::npos) return {};
  const absl::string_view parent = host.substr(dot + 1);
  return parent.find('.') == absl::string_view::npos ? absl::string_view() : parent;
}

// A token goes into a header: nothing that could end the line.
bool IsToken(const std::string& token) {
  return !token.empty() && token.size() <= kMaxToken &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Status NotAuthenticated(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("authentication failed: ", why));
}

}  // namespace

bool RealmMayHaveCredentials(const Url& registry, const Url& realm) {
  if (registry.SameOrigin(realm)) return true;
  if (realm.scheme != "https") return false;
  const bool named = !IsIpAddress(registry.host) && !IsLoopbackHost(registry.host);
  if (!named) return false;  // an address vouches for no other port or host
  if (realm.host == registry.host) return true;
  if (registry.host == "registry-1.docker.io") return realm.host == "auth.docker.io";
  const absl::string_view parent = ParentDomain(registry.host);
  if (parent.empty()) return false;
  return realm.host == parent || ParentDomain(realm.host) == parent;
}

bool CredentialsAreFor(const Auth& auth, absl::string_view registry, const Url& endpoint) {
  if (auth.server_address.empty()) return true;
  absl::string_view named = auth.server_address;
  if (!absl::ConsumePrefix(&named, "https://")) absl::ConsumePrefix(&named, "http://");
  named = named.substr(0, named.find('/'));
  std::string host = absl::AsciiStrToLower(named);
  if (host == "index.docker.io" || host == "registry-1.docker.io") host = "docker.io";
  return host == absl::AsciiStrToLower(registry) || host == endpoint.host ||
         host == absl::StrCat(endpoint.host, ":", endpoint.port);
}

Authenticator::Authenticator(const Auth* auth, Url endpoint, std::string repository, TlsOptions tls,
                             const std::atomic<bool>* cancelled)
    : auth_(auth),
      endpoint_(std::move(endpoint)),
      repository_(std::move(repository)),
      tls_(std::move(tls)),
      cancelled_(cancelled) {
  if (auth_ != nullptr && IsToken(auth_->registry_token)) {
    header_ = absl::StrCat("Authorization: Bearer ", auth_->registry_token);
  }
}

Authenticator::~Authenticator() { explicit_bzero(header_.data(), header_.size()); }

std::string Authenticator::Header() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return header_;
}

std::string Authenticator::BasicHeader() const {
  const std::string pair = absl::StrCat(auth_->username, ":", auth_->password);
  return absl::StrCat("Authorization: Basic ", absl::Base64Escape(pair));
}

Status Authenticator::Answer(HttpSession* session, const HttpResponse& response,
                             const std::string& used) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (header_ != used) return absl::OkStatus();  // another thread has a newer one
  std::vector<Challenge> challenges;
  for (const std::string& text : response.challenges) {
    for (Challenge& challenge : ParseChallenges(text)) challenges.push_back(std::move(challenge));
  }
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme != "bearer") continue;
    ASSIGN_OR_RETURN(const std::string token, FetchToken(session, challenge));
    header_ = absl::StrCat("Authorization: Bearer ", token);
    return absl::OkStatus();
  }
  for (const Challenge& challenge : challenges) {
    if (challenge.scheme != "basic") continue;
    if (!HasPassword()) return NotAuthenticated("the registry wants a password");
    if (used == BasicHeader()) return NotAuthenticated("the registry refused the password");
    header_ = BasicHeader();
    return absl::OkStatus();
  }
  return NotAuthenticated("no usable challenge");
}

StatusOr<HttpRequest> Authenticator::TokenRequest(const Challenge& challenge) {
  const auto param = [&](const char* name) {
    const auto found = challenge.params.find(name);
    return found == challenge.params.end() ? std::string() : found->second;
  };
  auto realm = ParseUrl(param("realm"));
  if (!realm.ok()) return NotAuthenticated(absl::StrCat("bad realm: ", realm.status().message()));
  if (realm->scheme != "https" && endpoint_.scheme == "https") {
    return NotAuthenticated("the realm is plain HTTP");
  }
  const std::string scope = absl::StrCat("repository:", repository_, ":pull");
  HttpRequest request;
  request.url = *std::move(realm);
  request.tls = tls_;
  request.max_body = kMaxTokenAnswer;
  request.cancelled = cancelled_;
  request.allow_loopback = IsLoopbackHost(endpoint_.host);
  const bool trusted = RealmMayHaveCredentials(endpoint_, request.url);
  if (trusted && auth_ != nullptr && !auth_->identity_token.empty()) {
    request.form = absl::StrCat(
        "grant_type=refresh_token&client_id=crisp&service=", PercentEncode(param("service")),
        "&scope=", PercentEncode(scope), "&refresh_token=", PercentEncode(auth_->identity_token));
    return request;
  }
  // Elsewhere only an anonymous token is asked for.
  if (trusted && HasPassword()) request.headers.push_back(BasicHeader());
  absl::StrAppend(&request.url.path, request.url.path.find('?') == std::string::npos ? "?" : "&",
                  "service=", PercentEncode(param("service")), "&scope=", PercentEncode(scope));
  return request;
}

StatusOr<std::string> Authenticator::FetchToken(HttpSession* session, const Challenge& challenge) {
  ASSIGN_OR_RETURN(const HttpRequest request, TokenRequest(challenge));
  ASSIGN_OR_RETURN(const HttpResponse response, session->Exchange(request));
  if (response.code == 401 || response.code == 403) {
    return NotAuthenticated(absl::StrCat("the token service answered ", response.code));
  }
  if (response.code != 200) {
    return absl::UnavailableError(
        absl::StrCat("token service ", request.url.Printable(), " answered ", response.code));
  }
  const auto json = ParseJson(response.body);
  if (!json.ok()) return NotAuthenticated("the token service's answer is not JSON");
  std::string token = JsonString(*json, "token");
  if (token.empty()) token = JsonString(*json, "access_token");
  if (!IsToken(token)) return NotAuthenticated("the token service gave no usable token");
  return token;
}

}  // namespace crisp::image
