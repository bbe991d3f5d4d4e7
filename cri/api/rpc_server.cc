#include "cri/api/rpc_server.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "cri/api/api.grpc.pb.h"
#include "cri/api/h2_guard.h"
#include "cri/api/rpc_status.h"
#include "cri/api/unix_listener.h"
#include "runtime/base/log.h"
#include "runtime/base/metrics.h"

namespace crisp {
namespace {

// The kubelet receives at most 16 MiB; gRPC's own default would refuse requests above 4.
constexpr int kMaxMessage = 16 << 20;

// Of one connection. A call that has no thread (max_threads) is refused at once, so honest clients
// stay below; a stream costs 14 KiB. Clients that do not hear of it: h2_scanner.h.
constexpr int kMaxStreams = 400;

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

std::string NextRequestId() {
  static std::atomic<uint64_t> next{0};
  return absl::StrCat("r", ++next);
}

// What the kubelet asks in normal life (NotFound, Unimplemented, its own cancel) is no warning.
LogLevel LevelOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kCancelled:
      return LogLevel::kInfo;
    case absl::StatusCode::kUnimplemented:
      return LogLevel::kDebug;
    case absl::StatusCode::kInternal:
      return LogLevel::kError;
    default:
      return LogLevel::kWarning;
  }
}

// Around every call: clock, metric, log of a failure, ring of finished calls, the client's code.
class CallWrapper {
 public:
  explicit CallWrapper(CallLog* calls) : calls_(calls) {}

  template <typename Handle>
  grpc::Status Run(grpc::ServerContext* context, absl::string_view method, Handle handle) const {
    const int64_t start = MonotonicNanos();
    CallContext call(method, NextRequestId(), DeadlineOf(*context),
                     [context] { return context->IsCancelled(); });
    const Status result = handle(call);
    Finish(call, result, MonotonicNanos() - start);
    if (result.ok()) return grpc::Status::OK;
    RpcError error = RpcErrorOf(method, result);
    return grpc::Status(static_cast<grpc::StatusCode>(error.code), std::move(error.message));
  }

 private:
  void Finish(const CallContext& call, const Status& result, int64_t nanos) const {
    const std::string code = absl::StatusCodeToString(result.code());
    ObserveSeconds("crisp_cri_request_duration_seconds",
                   absl::StrCat("method=\"", call.method(), "\",code=\"", code, "\""),
                   static_cast<double>(nanos) / 1e9);
    if (calls_ != nullptr) calls_->Add(call, result, nanos);
    const LogLevel level = result.ok() ? LogLevel::kDebug : LevelOf(result.code());
    if (!LogEnabled(level)) return;
    // The message and never the request: a PullImageRequest carries passwords.
    LogLine(level, result.ok() ? "request done" : "request failed",
            {{"method", call.method()},
             {"code", code},
             {"error", std::string(result.message())},
             {"object", call.object()},
             {"request", call.request_id()},
             {"us", absl::StrCat(nanos / 1000)},
             {"steps", call.stages().Text()}});
  }

  CallLog* const calls_;
};

template <typename Response>
class GrpcWriter final : public StreamWriter<Response> {
 public:
  GrpcWriter(grpc::ServerWriter<Response>* writer, grpc::ServerContext* context)
      : writer_(writer), context_(context) {}
  bool Write(const Response& response) override { return writer_->Write(response); }
  void Begin() override { writer_->SendInitialMetadata(); }
  void Abort() override { context_->TryCancel(); }

 private:
  grpc::ServerWriter<Response>* const writer_;
  grpc::ServerContext* const context_;
};

#define CRISP_UNARY(rpc, method, Request, Response)                          \
  grpc::Status rpc(grpc::ServerContext* context, const v1::Request* request, \
                   v1::Response* response) override {                        \
    return wrapper_.Run(context, #rpc, [&](CallContext& call) {              \
      return handler_->method(*request, response, call);                     \
    });                                                                      \
  }
#define CRISP_STREAM(rpc, method, Request, Response)                         \
  grpc::Status rpc(grpc::ServerContext* context, const v1::Request* request, \
                   grpc::ServerWriter<v1::Response>* writer) override {      \
    return wrapper_.Run(context, #rpc, [&](CallContext& call) {              \
      GrpcWriter<v1::Response> stream(writer, context);                      \
      return handler_->method(*request, stream, call);                       \
    });                                                                      \
  }

class RuntimeRpc final : public v1::RuntimeService::Service {
 public:
  RuntimeRpc(RuntimeHandler* handler, CallLog* calls) : handler_(handler), wrapper_(calls) {}
  CRISP_RUNTIME_RPCS(CRISP_UNARY, CRISP_STREAM)

 private:
  RuntimeHandler* const handler_;
  const CallWrapper wrapper_;
};

class ImageRpc final : public v1::ImageService::Service {
 public:
  ImageRpc(ImageHandler* handler, CallLog* calls) : handler_(handler), wrapper_(calls) {}
  CRISP_IMAGE_RPCS(CRISP_UNARY, CRISP_STREAM)

 private:
  ImageHandler* const handler_;
  const CallWrapper wrapper_;
};

// Calls of the sync API may block (StopContainer, PullImage): each has a thread while it runs, and
// one or two wait for the next. Clients that ping every few seconds are not sent away (GOAWAY
// too_many_pings is the default).
void Configure(grpc::ServerBuilder* builder, int max_threads) {
  builder->SetMaxReceiveMessageSize(kMaxMessage);
  builder->SetMaxSendMessageSize(kMaxMessage);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  using Option = grpc::ServerBuilder::SyncServerOption;
  builder->SetSyncServerOption(Option::NUM_CQS, 1);
  builder->SetSyncServerOption(Option::MIN_POLLERS, 1);
  builder->SetSyncServerOption(Option::MAX_POLLERS, 2);
  grpc::ResourceQuota quota("crisp-cri");
  quota.SetMaxThreads(max_threads);
  builder->SetResourceQuota(quota);
}

// A client that comes again and again is counted each time; a line a second for each reason is
// enough.
void ReportAbuse(const H2Ended& ended) {
  static std::atomic<int64_t> next_lines[static_cast<size_t>(H2Abuse::kConnections) + 1];
  std::atomic<int64_t>& next_line = next_lines[static_cast<size_t>(ended.abuse)];
  CountMetric("crisp_cri_http2_ended_total",
              absl::StrCat("reason=\"", H2AbuseName(ended.abuse), "\""));
  const int64_t now = MonotonicNanos();
  int64_t due = next_line.load();
  if (now < due || !next_line.compare_exchange_strong(due, now + 1'000'000'000)) return;
  LogWarning("CRI connection ended for abuse of HTTP/2",
             {{"reason", H2AbuseName(ended.abuse)}, {"peer_pid", absl::StrCat(ended.peer)}});
}

class GrpcServer final : public RpcServer {
 public:
  GrpcServer(const RpcServerOptions& options, RuntimeHandler* runtime, ImageHandler* image)
      : options_(options), runtime_(runtime, options.calls), image_(image, options.calls) {}
  ~GrpcServer() override { Shutdown(absl::Now()); }

  Status Serve() {
    ASSIGN_OR_RETURN(lock_, ClaimSocketPath(options_.socket_path));
    GuardHttp2(options_.socket_path, ReportAbuse);
    grpc::ServerBuilder builder;
    Configure(&builder, options_.max_threads);
    builder.AddListeningPort("unix:" + options_.socket_path, grpc::InsecureServerCredentials());
    builder.RegisterService(&runtime_);
    builder.RegisterService(&image_);
    // gRPC binds the path itself: nobody but root can reach the socket before the chmod.
    const mode_t old = umask(0077);
    server_ = builder.BuildAndStart();
    umask(old);
    if (server_ == nullptr)
      return absl::InternalError(absl::StrCat("serve CRI on ", options_.socket_path,
                                              ": cannot bind or listen (see stderr)"));
    if (chmod(options_.socket_path.c_str(), 0660) != 0)
      return ErrnoStatus(errno, "chmod ", options_.socket_path);
    return absl::OkStatus();
  }

  void Shutdown(absl::Time deadline) override {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(deadline));
    server_->Wait();
    server_.reset();
    lock_.Reset();
  }

 private:
  const RpcServerOptions options_;
  RuntimeRpc runtime_;
  ImageRpc image_;
  UniqueFd lock_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(const RpcServerOptions& options,
                                                      RuntimeHandler* runtime,
                                                      ImageHandler* image) {
  auto server = std::make_unique<GrpcServer>(options, runtime, image);
  RETURN_IF_ERROR(server->Serve());
  return std::unique_ptr<RpcServer>(std::move(server));
}

}  // namespace crisp
