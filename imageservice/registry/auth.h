// Who we are to one registry: Basic, or the bearer tokens of the distribution token protocol.
// Credentials are bound to the registry's origin and to token services that belong to it (S34).
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "imageservice/image_service.h"
#include "imageservice/registry/challenge.h"
#include "imageservice/registry/http.h"
#include "imageservice/registry/url.h"

namespace crisp::image {

// True if credentials for `registry` may be sent to the token service at `realm`: never down to
// plain HTTP, and only to the registry itself, its parent domain or a sibling in it.
bool RealmMayHaveCredentials(const Url& registry, const Url& realm);

// Credentials that name another server than the registry are not for it.
bool CredentialsAreFor(const Auth& auth, absl::string_view registry, const Url& endpoint);

class Authenticator {
 public:
  // `auth` may be null or empty: anonymous.
  Authenticator(const Auth* auth, Url endpoint, std::string repository, TlsOptions tls,
                const std::atomic<bool>* cancelled);
  ~Authenticator();  // wipes the header
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  // "Authorization: ..." or empty. Threads share it.
  std::string Header();
  // After a 401 that was the answer to `used`. OK: try again with the new Header().
  Status Answer(HttpSession* session, const HttpResponse& response, const std::string& used);

 private:
  bool HasPassword() const { return auth_ != nullptr && !auth_->username.empty(); }
  std::string BasicHeader() const;
  StatusOr<std::string> FetchToken(HttpSession* session, const Challenge& challenge);
  StatusOr<HttpRequest> TokenRequest(const Challenge& challenge);

  const Auth* auth_;
  const Url endpoint_;
  const std::string repository_;
  const TlsOptions tls_;
  const std::atomic<bool>* cancelled_;
  std::mutex mutex_;
  std::string header_;
};

}  // namespace crisp::image
