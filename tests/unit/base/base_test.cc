#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/json.h"
#include "runtime/base/metrics.h"
#include "runtime/base/pending.h"
#include "runtime/base/status.h"

namespace crisp {
namespace {

TEST(Status, KeepsErrnoThroughAnnotate) {
  const Status status = Annotate(ErrnoStatus(EPERM, "mount /proc"), "start container 3fa9");
  EXPECT_EQ(ErrnoOf(status), EPERM);
  EXPECT_EQ(status.message(), "start container 3fa9: mount /proc: EPERM (Operation not permitted)");
}

TEST(Status, InvalidFieldEscapesAndCuts) {
  const Status status =
      InvalidField("user", std::string("a\n") + std::string(500, 'x'), "not a user");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_LT(status.message().size(), 250u);
  EXPECT_EQ(status.message().find('\n'), absl::string_view::npos);
}

TEST(Json, LimitsAndDuplicates) {
  EXPECT_TRUE(ParseJson(R"({"a":[1,2,{"b":"]["}]})").ok());
  EXPECT_FALSE(ParseJson(R"({"a":1,"a":2})").ok());
  EXPECT_FALSE(ParseJson(std::string(65, '[') + std::string(65, ']')).ok());
  EXPECT_TRUE(ParseJson(std::string(64, '[') + std::string(64, ']')).ok());
  EXPECT_FALSE(ParseJson("{} x").ok());
}

TEST(Pending, UndoesInReverseUnlessCommitted) {
  std::string order;
  {
    Pending a([&] { order += "a"; });
    Pending b([&] { order += "b"; });
    Pending c([&] { order += "c"; });
    c.Commit();
  }
  EXPECT_EQ(order, "ba");
}

TEST(Id, Shape) {
  EXPECT_TRUE(IsId(NewId()));
  EXPECT_NE(NewId(), NewId());
  EXPECT_FALSE(IsId("../x"));
}

TEST(Files, AtomicWriteReadAndRemove) {
  char path[] = "/tmp/crisp-base-XXXXXX";
  ASSERT_NE(mkdtemp(path), nullptr);
  UniqueFd dir(open(path, O_RDONLY | O_DIRECTORY));
  EXPECT_TRUE(WriteFileAtomic(dir.get(), "x", "hello", 0600, true).ok());
  EXPECT_EQ(*ReadFileAt(dir.get(), "x"), "hello");
  EXPECT_EQ(ReadFileAt(dir.get(), "x", 4).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(symlinkat("/etc", dir.get(), "link"), 0);
  EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, path).ok());
  EXPECT_EQ(access(path, F_OK), -1);
  EXPECT_EQ(access("/etc/passwd", F_OK), 0);
}

TEST(Files, AHeldLockIsWaitedForAndRefusedInTheEnd) {
  char path[] = "/tmp/crisp-lock-XXXXXX";
  UniqueFd first(mkstemp(path));
  ASSERT_TRUE(LockExclusive(first.get()).ok());
  UniqueFd second(open(path, O_RDWR));
  EXPECT_EQ(ErrnoOf(LockExclusive(second.get())), EWOULDBLOCK);
  std::thread holder([&] {
    poll(nullptr, 0, 50);
    first.Reset();
  });
  EXPECT_TRUE(LockExclusive(second.get()).ok());
  holder.join();
  EXPECT_EQ(unlink(path), 0);
}

TEST(Metrics, Text) {
  CountMetric("x_total", "a=\"1\"", 2);
  ObserveSeconds("y_seconds", "", 0.0003);
  const std::string text = MetricsText();
  EXPECT_NE(text.find("x_total{a=\"1\"} 2"), std::string::npos);
  EXPECT_NE(text.find("y_seconds_bucket{le=\"0.0005\"} 1"), std::string::npos);
}

}  // namespace
}  // namespace crisp
