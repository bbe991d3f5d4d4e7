#include "cri/cli/cri_client.h"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "cri/api/api.grpc.pb.h"
#include "runtime/sys/fd.h"

namespace crisp::cli {
namespace {

constexpr int kMaxMessage = 16 << 20;

// gRPC would say "failed to connect to all addresses" after its back-off; we know better at once.
Status Probe(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return InvalidField("endpoint", path, "is longer than 107 bytes, the limit of a unix socket");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "make socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0)
    return absl::OkStatus();
  switch (errno) {
    case ENOENT:
      return absl::UnavailableError(
          absl::StrCat("no socket at ", path,
                       ": is crispd running? (other place: --endpoint or CRISP_ENDPOINT)"));
    case ECONNREFUSED:
      return absl::UnavailableError(
          absl::StrCat("nobody answers at ", path, ": is crispd running?"));
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat("no permission for ", path, ": the runtime's socket is for root"));
    default:
      return ErrnoStatus(errno, "connect to ", path);
  }
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

class GrpcClient final : public CriClient {
 public:
  explicit GrpcClient(const std::string& path) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessage);
    arguments.SetMaxSendMessageSize(kMaxMessage);
    // The name of the peer is no path: Go servers refuse such an authority.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    auto channel =
        grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), arguments);
    runtime_ = v1::RuntimeService::NewStub(channel);
    image_ = v1::ImageService::NewStub(channel);
  }

#define CRISP_CALL(stub, rpc, method, Request, Response)                                       \
  StatusOr<v1::Response> method(const v1::Request& request, absl::Duration timeout) override { \
    grpc::ClientContext context;                                                               \
    if (timeout != absl::InfiniteDuration())                                                   \
      context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));                         \
    v1::Response response;                                                                     \
    RETURN_IF_ERROR(FromGrpc(stub->rpc(&context, request, &response)));                        \
    return response;                                                                           \
  }
#define CRISP_RUNTIME_CALL(...) CRISP_CALL(runtime_, __VA_ARGS__)
#define CRISP_IMAGE_CALL(...) CRISP_CALL(image_, __VA_ARGS__)
#define CRISP_NO_STREAM(rpc, method, Request, Response)

  CRISP_RUNTIME_RPCS(CRISP_RUNTIME_CALL, CRISP_NO_STREAM)
  CRISP_IMAGE_RPCS(CRISP_IMAGE_CALL, CRISP_NO_STREAM)

 private:
  std::unique_ptr<v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<v1::ImageService::Stub> image_;
};

}  // namespace

StatusOr<std::unique_ptr<CriClient>> CriClient::Connect(const std::string& endpoint) {
  absl::string_view path = endpoint;
  absl::ConsumePrefix(&path, "unix://");
  if (!absl::StartsWith(path, "/"))
    return InvalidField("endpoint", endpoint, "must be unix:///PATH or an absolute path");
  RETURN_IF_ERROR(Probe(std::string(path)));
  return std::unique_ptr<CriClient>(new GrpcClient(std::string(path)));
}

}  // namespace crisp::cli
