// The registry side of a pull: manifests and blobs over the OCI distribution protocol 1.1, with
// authentication, redirects and retries.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "imageservice/blob_source.h"
#include "imageservice/image_service.h"
#include "imageservice/reference.h"
#include "imageservice/registry/auth.h"
#include "imageservice/registry/http.h"

namespace crisp::image {

struct RegistryClientOptions {
  const ImageOptions* options;
  const Auth* auth;
  const PullState* state;
};

// The prefix that the kubelet turns into the container's waiting reason.
inline constexpr char kRegistryUnavailable[] = "RegistryUnavailable: ";

// "pull image X: ..."; transport failures get the prefix in front of it.
Status AnnotatePull(const Status& status, const Reference& reference);

// Where a registry is reached: the configured endpoint, http:// for loopback hosts, else https://.
StatusOr<Url> EndpointOf(const std::string& registry, const ImageOptions& options);

class RegistryClient : public BlobSource {
 public:
  RegistryClient(const Reference& reference, const RegistryClientOptions& options);

  StatusOr<FetchedDocument> Manifest(const std::string& digest) override;
  Status Stream(const Descriptor& blob, const ByteSink& sink) override;

 private:
  struct Get {  // what is asked for, the same in each attempt
    std::string path;
    std::vector<std::string> headers;
    uint64_t max_stream = 0;
    std::function<Status(const HttpResponse&)> head;
    ByteSink sink;
  };
  struct StreamRun {  // of one blob, over all attempts
    uint64_t received = 0;
    Status sink_status;
  };
  class SessionLease;

  StatusOr<HttpResponse> GetOnce(HttpSession* session, const Get& get);
  StatusOr<HttpResponse> Follow(HttpSession* session, const Get& get, const std::string& header);
  StatusOr<HttpResponse> GetWithRetries(const Get& get);
  Status StreamOnce(HttpSession* session, const Descriptor& blob, StreamRun* run,
                    const ByteSink& sink);
  Status Wait(int attempt, const std::string& retry_after);
  bool Cancelled() const { return options_.state->cancelled.load(); }
  Status CodeError(const HttpResponse& response, const std::string& what) const;

  const Reference reference_;
  const RegistryClientOptions options_;
  Status endpoint_status_;
  Url endpoint_;
  TlsOptions tls_;
  std::unique_ptr<Authenticator> authenticator_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<HttpSession>> idle_;  // sessions between requests
};

}  // namespace crisp::image
