#include "cri/api/rpc_status.h"

#include <gtest/gtest.h>

#include "cri/api/call_log.h"

namespace crisp {
namespace {

using absl::StatusCode;

TEST(RpcStatus, CodesThatTheKubeletActsOnGoOutAsTheyAre) {
  for (StatusCode code :
       {StatusCode::kCancelled, StatusCode::kUnknown, StatusCode::kInvalidArgument,
        StatusCode::kDeadlineExceeded, StatusCode::kNotFound, StatusCode::kResourceExhausted,
        StatusCode::kFailedPrecondition, StatusCode::kUnimplemented, StatusCode::kInternal,
        StatusCode::kUnavailable}) {
    const RpcError error = RpcErrorOf("ContainerStatus", Status(code, "why"));
    EXPECT_EQ(error.code, static_cast<int>(code));
    EXPECT_EQ(error.message, "why");
  }
}

TEST(RpcStatus, PullErrorsAreUnknownSoThatTheKubeletKeepsTheText) {
  const struct {
    StatusCode from, to;
  } cases[] = {{StatusCode::kUnavailable, StatusCode::kUnknown},
               {StatusCode::kNotFound, StatusCode::kUnknown},
               {StatusCode::kInvalidArgument, StatusCode::kUnknown},
               {StatusCode::kCancelled, StatusCode::kCancelled},
               {StatusCode::kDeadlineExceeded, StatusCode::kDeadlineExceeded},
               {StatusCode::kUnimplemented, StatusCode::kUnimplemented}};
  for (const auto& row : cases) {
    EXPECT_EQ(RpcErrorOf("PullImage", Status(row.from, "RegistryUnavailable: x")).code,
              static_cast<int>(row.to));
  }
}

TEST(RpcStatus, MessageFitsIntoATrailer) {
  EXPECT_EQ(RpcErrorOf("ExecSync", absl::InternalError(std::string(1 << 20, 'x'))).message.size(),
            4096u);
}

TEST(CallLog, KeepsTheNewestAndFindsByObject) {
  CallLog log(2);
  for (const char* id : {"a", "b", "c"}) {
    CallContext call("RunPodSandbox");
    call.set_object(id);
    call.stages().Mark("network");
    log.Add(call, id[0] == 'c' ? absl::NotFoundError("x") : absl::OkStatus(), 5000);
  }
  ASSERT_EQ(log.RecentCalls().size(), 2u);
  EXPECT_EQ(log.RecentCalls()[0].object, "b");
  EXPECT_TRUE(log.CallsOf("a").empty());
  ASSERT_EQ(log.CallsOf("c").size(), 1u);
  EXPECT_EQ(log.CallsOf("c")[0].code, "NOT_FOUND");
  ASSERT_EQ(log.CallsOf("c")[0].stages.size(), 1u);
  EXPECT_EQ(log.CallsOf("c")[0].stages[0].name, "network");
  EXPECT_NE(FinishedCallText(log.CallsOf("b")[0]).find("RunPodSandbox b OK 5us: network "),
            std::string::npos);
}

}  // namespace
}  // namespace crisp
