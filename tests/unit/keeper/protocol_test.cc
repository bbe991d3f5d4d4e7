#include "runtime/keeper/protocol.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>

#include "gtest/gtest.h"
#include "runtime/keeper/pidfd_proc.h"
#include "runtime/keeper/slot_table.h"

namespace crisp::keeper {
namespace {

// A keeper outlives the daemon that started it: these places are fixed for this major.
static_assert(offsetof(Request, type) == 8 && offsetof(Request, id) == 72);
static_assert(offsetof(Reply, type) == 8 && offsetof(Reply, step) == 48);
static_assert(offsetof(Slot, state) == 0 && offsetof(Slot, wait_status) == 12);
static_assert(offsetof(Slot, stream) == 80 && offsetof(Slot, batch) == 112);
static_assert(offsetof(Slot, id) == 176);
static_assert(offsetof(SlotTable, slot) == 512 && sizeof(SlotTable) == 512 * (kSlots + 1));

Request Good(RequestType type, Kind kind, uint32_t roles) {
  Request request{};
  request.magic = kMagic;
  request.major = kMajor;
  request.type = type;
  request.kind = kind;
  request.role_mask = roles;
  request.max_line = 16384;
  strcpy(request.id, "abc");
  return request;
}

int Check(const Request& request, size_t fds) {
  Request out;
  size_t plan_fds = 0;
  return CheckRequest(&request, sizeof(request), fds, &out, &plan_fds);
}

TEST(ProtocolTest, CountsOfDescriptorsMustFit) {
  const Request launch =
      Good(RequestType::kLaunch, Kind::kContainer, Bit(kRoleStdout) | Bit(kRoleLog));
  EXPECT_EQ(Check(launch, 2), EINVAL) << "no plan";
  EXPECT_EQ(Check(launch, 3), 0);
  EXPECT_EQ(Check(launch, 3 + kMaxPlanFds), 0);
  EXPECT_EQ(Check(launch, 4 + kMaxPlanFds), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kHoldPod, Kind::kPod, Bit(kRoleNet)), 0), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kHoldPod, Kind::kPod, Bit(kRoleNet)), 1), 0);
  EXPECT_EQ(Check(Good(RequestType::kDrop, Kind::kNone, 0), 1), EINVAL);
}

TEST(ProtocolTest, RolesMustFitTheKind) {
  EXPECT_EQ(Check(Good(RequestType::kHoldPod, Kind::kPod, Bit(kRoleLog)), 1), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kLaunch, Kind::kContainer, Bit(kRoleNet)), 2), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kLaunch, Kind::kExec, Bit(kRoleStdout)), 2), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kLaunch, Kind::kPod, 0), 1), EINVAL);
  EXPECT_EQ(Check(Good(RequestType::kDrop, Kind::kNone, Bit(kRoleNet)), 1), EINVAL);
}

TEST(ProtocolTest, HeldContainerNeedsItsProcess) {
  Request hold = Good(RequestType::kHoldContainer, Kind::kContainer,
                      Bit(kRolePidfd) | Bit(kRoleStdout) | Bit(kRoleLog));
  EXPECT_EQ(Check(hold, 3), EINVAL) << "no pid";
  hold.pid = 7;
  EXPECT_EQ(Check(hold, 3), 0);
  EXPECT_EQ(Check(hold, 2), EINVAL);
  hold.kind = Kind::kExec;
  EXPECT_EQ(Check(hold, 3), EINVAL);
  hold = Good(RequestType::kHoldContainer, Kind::kContainer, Bit(kRoleStdout));
  hold.pid = 7;
  EXPECT_EQ(Check(hold, 1), EINVAL) << "no pidfd";
}

TEST(ProtocolTest, EachFieldIsChecked) {
  const auto with = [](const std::function<void(Request&)>& change) {
    Request request = Good(RequestType::kLaunch, Kind::kContainer, 0);
    change(request);
    return Check(request, 1);
  };
  EXPECT_EQ(with([](Request&) {}), 0);
  EXPECT_EQ(with([](Request& r) { r.magic = 1; }), EBADMSG);
  EXPECT_EQ(with([](Request& r) { r.major = 2; }), EPROTONOSUPPORT);
  EXPECT_EQ(with([](Request& r) { r.minor = 7; }), 0);
  EXPECT_EQ(with([](Request& r) { r.type = static_cast<RequestType>(0); }), ENOSYS);
  EXPECT_EQ(with([](Request& r) { r.type = static_cast<RequestType>(99); }), ENOSYS);
  EXPECT_EQ(with([](Request& r) { r.slot = kSlots; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.slot = kSlots - 1; }), 0);
  EXPECT_EQ(with([](Request& r) { r.max_line = 0; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.max_line = kMaxLineLimit + 1; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.deadline_ms = -1; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.offset = UINT64_MAX; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.id[0] = 0; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { r.id[0] = '/'; }), EINVAL);
  EXPECT_EQ(with([](Request& r) { memset(r.id, 'a', kIdSize); }), EINVAL);
  EXPECT_EQ(with([](Request& r) { memset(r.id, 'a', kIdSize - 1); }), 0);
  Request out;
  size_t plan_fds = 0;
  const Request good = Good(RequestType::kHello, Kind::kNone, 0);
  EXPECT_EQ(CheckRequest(&good, sizeof(good) - 1, 0, &out, &plan_fds), EBADMSG);
}

TEST(ProtocolTest, AnswersAreCheckedToo) {
  Reply reply{}, out;
  reply.magic = kMagic;
  reply.major = kMajor;
  reply.type = ReplyType::kHello;
  memset(reply.text, 'x', sizeof(reply.text));
  EXPECT_EQ(CheckReply(&reply, sizeof(reply), 0, &out), EBADMSG) << "a hello brings the table";
  EXPECT_EQ(CheckReply(&reply, sizeof(reply), 1, &out), 0);
  EXPECT_EQ(strlen(out.text), sizeof(out.text) - 1);
  reply.error = EBUSY;
  EXPECT_EQ(CheckReply(&reply, sizeof(reply), 0, &out), 0);
  reply.role_mask = 1u << kRoleCount;
  EXPECT_EQ(CheckReply(&reply, sizeof(reply), 1, &out), EBADMSG);
}

TEST(ZombieStatTest, TakesFieldFiftyTwoOfAZombieOnly) {
  const std::string middle =
      " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26"
      " 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 ";
  int status = -1;
  EXPECT_EQ(ParseZombieStat(("7 (a) Z b) Z" + middle + "10752\n").c_str(), &status), 0);
  EXPECT_EQ(status, 42 << 8);
  EXPECT_EQ(ParseZombieStat(("7 (a) S" + middle + "256\n").c_str(), &status), ESRCH);
  EXPECT_EQ(ParseZombieStat("7 (a) Z 1 2 3", &status), ENODATA);
  EXPECT_EQ(ParseZombieStat(("7 (a) Z" + middle + "x").c_str(), &status), ENODATA);
  EXPECT_EQ(ParseZombieStat("", &status), ESRCH);
}

}  // namespace
}  // namespace crisp::keeper
