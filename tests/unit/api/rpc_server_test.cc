#include "cri/api/rpc_server.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "cri/api/api.grpc.pb.h"
#include "runtime/base/files.h"
#include "runtime/base/metrics.h"

namespace crisp {
namespace {

using ::testing::HasSubstr;

// A latch that a test opens; nothing here depends on time.
class Event {
 public:
  void Set() {
    std::lock_guard<std::mutex> lock(mu_);
    set_ = true;
    changed_.notify_all();
  }
  bool Wait() {
    std::unique_lock<std::mutex> lock(mu_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [this] { return set_; });
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool set_ = false;
};

class TestRuntime : public RuntimeHandler {
 public:
  Status Version(const v1::VersionRequest&, v1::VersionResponse* response,
                 CallContext& call) override {
    response->set_runtime_name("crisp");
    deadline = call.deadline();
    call.set_object("abc");
    call.stages().Mark("think");
    return absl::OkStatus();
  }
  Status ContainerStatus(const v1::ContainerStatusRequest& request, v1::ContainerStatusResponse*,
                         CallContext&) override {
    return absl::NotFoundError("no container " + request.container_id());
  }
  // Ends only when the client is gone or the server shuts down.
  Status StopContainer(const v1::StopContainerRequest&, v1::StopContainerResponse*,
                       CallContext& call) override {
    started.Set();
    while (!call.cancelled()) std::this_thread::yield();
    ended.Set();
    return absl::CancelledError("client is gone");
  }
  Status GetContainerEvents(const v1::GetEventsRequest&,
                            StreamWriter<v1::ContainerEventResponse>& writer,
                            CallContext&) override {
    v1::ContainerEventResponse event;
    for (int i = 0; i < 3; ++i) {
      event.set_created_at(i);
      if (!writer.Write(event)) return absl::CancelledError("client is gone");
    }
    return absl::OkStatus();
  }
  Status ExecSync(const v1::ExecSyncRequest& request, v1::ExecSyncResponse* response,
                  CallContext&) override {
    response->set_stdout(request.cmd(0));
    return absl::OkStatus();
  }

  absl::Time deadline;
  Event started, ended;
};

class TestImages : public ImageHandler {
 public:
  Status PullImage(const v1::PullImageRequest&, v1::PullImageResponse*, CallContext&) override {
    return absl::UnavailableError("RegistryUnavailable: dial tcp: refused");
  }
};

class RpcServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-rpc-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    dir_ = name;
    options_.socket_path = dir_ + "/crisp.sock";
    options_.calls = &calls_;
    auto server = RpcServer::Start(options_, &runtime_, &images_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(16 << 20);
    channel_ = grpc::CreateCustomChannel("unix:" + options_.socket_path,
                                         grpc::InsecureChannelCredentials(), arguments);
    runtime_stub_ = v1::RuntimeService::NewStub(channel_);
    image_stub_ = v1::ImageService::NewStub(channel_);
  }
  void TearDown() override {
    server_.reset();
    EXPECT_TRUE(RemoveTreeAt(-100, dir_).ok());
  }

  std::string dir_;
  RpcServerOptions options_;
  CallLog calls_;
  TestRuntime runtime_;
  TestImages images_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::RuntimeService::Stub> runtime_stub_;
  std::unique_ptr<v1::ImageService::Stub> image_stub_;
};

TEST_F(RpcServerTest, AnswersAndRecordsTheCall) {
  grpc::ClientContext context;
  v1::VersionResponse response;
  ASSERT_TRUE(runtime_stub_->Version(&context, {}, &response).ok());
  EXPECT_EQ(response.runtime_name(), "crisp");
  EXPECT_EQ(runtime_.deadline, absl::InfiniteFuture());
  ASSERT_EQ(calls_.CallsOf("abc").size(), 1u);
  EXPECT_EQ(calls_.CallsOf("abc")[0].stages[0].name, "think");
  EXPECT_THAT(
      MetricsText(),
      HasSubstr("crisp_cri_request_duration_seconds_count{method=\"Version\",code=\"OK\"}"));
}

TEST_F(RpcServerTest, HandlerSeesTheDeadline) {
  grpc::ClientContext context;
  const absl::Time deadline = absl::Now() + absl::Seconds(1000);
  context.set_deadline(absl::ToChronoTime(deadline));
  v1::VersionResponse response;
  ASSERT_TRUE(runtime_stub_->Version(&context, {}, &response).ok());
  EXPECT_LT(absl::AbsDuration(runtime_.deadline - deadline), absl::Seconds(60));
}

TEST_F(RpcServerTest, ErrorCodesReachTheClient) {
  grpc::ClientContext context;
  v1::ContainerStatusRequest request;
  request.set_container_id("x");
  v1::ContainerStatusResponse response;
  grpc::Status status = runtime_stub_->ContainerStatus(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no container x");

  grpc::ClientContext pull_context;
  v1::PullImageResponse pulled;
  status = image_stub_->PullImage(&pull_context, {}, &pulled);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "RegistryUnavailable: dial tcp: refused");
}

// The kubelet falls back only at exactly this code.
#define EXPECT_UNARY_UNIMPLEMENTED(rpc, method, Request, Response)      \
  {                                                                     \
    grpc::ClientContext context;                                        \
    v1::Response response;                                              \
    const auto status = stub->rpc(&context, v1::Request(), &response);  \
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);    \
    EXPECT_EQ(status.error_message(), "RPC is not implemented: " #rpc); \
    ++count;                                                            \
  }
#define EXPECT_STREAM_UNIMPLEMENTED(rpc, method, Request, Response)            \
  {                                                                            \
    grpc::ClientContext context;                                               \
    v1::Response response;                                                     \
    auto reader = stub->rpc(&context, v1::Request());                          \
    while (reader->Read(&response)) {                                          \
    }                                                                          \
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED); \
    ++count;                                                                   \
  }

TEST(RpcServer, EveryRpcOfTheCriIsServed) {
  char name[] = "/tmp/crisp-rpc-XXXXXX";
  ASSERT_NE(mkdtemp(name), nullptr);
  RuntimeHandler runtime;
  ImageHandler images;
  const std::string path = std::string(name) + "/s.sock";
  auto server = RpcServer::Start({.socket_path = path}, &runtime, &images);
  ASSERT_TRUE(server.ok()) << server.status();
  auto channel = grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials());
  int count = 0;
  {
    auto stub = v1::RuntimeService::NewStub(channel);
    CRISP_RUNTIME_RPCS(EXPECT_UNARY_UNIMPLEMENTED, EXPECT_STREAM_UNIMPLEMENTED)
  }
  {
    auto stub = v1::ImageService::NewStub(channel);
    CRISP_IMAGE_RPCS(EXPECT_UNARY_UNIMPLEMENTED, EXPECT_STREAM_UNIMPLEMENTED)
  }
  EXPECT_EQ(count, 43);
  server->reset();
  EXPECT_TRUE(RemoveTreeAt(-100, name).ok());
}

TEST_F(RpcServerTest, StreamsInOrder) {
  grpc::ClientContext context;
  auto reader = runtime_stub_->GetContainerEvents(&context, {});
  v1::ContainerEventResponse event;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(reader->Read(&event));
    EXPECT_EQ(event.created_at(), i);
  }
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(RpcServerTest, FifteenMegabytesGoBothWays) {
  grpc::ClientContext context;
  v1::ExecSyncRequest request;
  request.add_cmd(std::string(15 << 20, 'x'));
  v1::ExecSyncResponse response;
  const auto status = runtime_stub_->ExecSync(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.stdout().size(), size_t{15 << 20});
}

TEST_F(RpcServerTest, HandlerLearnsThatTheClientIsGone) {
  grpc::ClientContext context;
  std::thread client([&] {
    v1::StopContainerResponse response;
    EXPECT_EQ(runtime_stub_->StopContainer(&context, {}, &response).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  EXPECT_TRUE(runtime_.started.Wait());
  context.TryCancel();
  EXPECT_TRUE(runtime_.ended.Wait());
  client.join();
}

TEST_F(RpcServerTest, ShutdownEndsRunningCallsAndTheSocket) {
  grpc::ClientContext context;
  std::thread client([&] {
    v1::StopContainerResponse response;
    EXPECT_FALSE(runtime_stub_->StopContainer(&context, {}, &response).ok());
  });
  EXPECT_TRUE(runtime_.started.Wait());
  server_->Shutdown(absl::Now());
  EXPECT_TRUE(runtime_.ended.Wait());
  client.join();
  auto next = RpcServer::Start(options_, &runtime_, &images_);
  EXPECT_TRUE(next.ok()) << next.status();
}

TEST_F(RpcServerTest, SocketIsForRootAndForOneDaemon) {
  struct stat info;
  ASSERT_EQ(stat(options_.socket_path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  auto second = RpcServer::Start(options_, &runtime_, &images_);
  EXPECT_EQ(second.status().message(), "another crisp serves " + options_.socket_path);
  grpc::ClientContext context;
  v1::VersionResponse response;
  EXPECT_TRUE(runtime_stub_->Version(&context, {}, &response).ok());
}

}  // namespace
}  // namespace crisp
