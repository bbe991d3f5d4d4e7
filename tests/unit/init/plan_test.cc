// The checks of a launch plan: a good one opens, and each broken part is refused by its name.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "runtime/container/plan_builder.h"
#include "runtime/init/plan_view.h"

namespace crisp {
namespace {

using namespace init;

constexpr size_t kFds = 3;

// The smallest useful exec plan: three stdio descriptors and one argument.
std::string GoodPlan(const std::function<void(runtime::PlanBuilder&)>& edit = {}) {
  runtime::PlanBuilder plan(PlanKind::kExec);
  PlanHeader& head = plan.head();
  for (int i = 0; i < 3; ++i) head.stdio[i] = plan.Fd(i);
  for (FdIndex* index : {&head.cgroup_v2, &head.net, &head.ipc, &head.uts, &head.root, &head.dev,
                         &head.pts, &head.shm}) {
    *index = kNoFd;
  }
  head.container = head.stdio[0];
  head.cwd = plan.Text("/");
  head.program_path = plan.Text("/bin");
  head.args = plan.Texts({"/bin/true"});
  if (edit) edit(plan);
  return plan.Finish();
}

const char* Problem(const std::string& bytes, size_t fds = kFds) {
  std::vector<uint64_t> aligned(bytes.size() / 8 + 1);
  memcpy(aligned.data(), bytes.data(), bytes.size());
  PlanView view;
  return OpenPlan(aligned.data(), bytes.size(), fds, PlanKind::kExec, &view);
}

std::string WithHead(const std::function<void(PlanHeader&)>& edit) {
  std::string bytes = GoodPlan();
  PlanHeader head;
  memcpy(&head, bytes.data(), sizeof(head));
  edit(head);
  memcpy(bytes.data(), &head, sizeof(head));
  return bytes;
}

TEST(Plan, AGoodOneOpens) { EXPECT_EQ(Problem(GoodPlan()), nullptr) << Problem(GoodPlan()); }

TEST(Plan, EveryCutIsRefused) {
  const std::string whole = GoodPlan();
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(Problem(whole.substr(0, size)), nullptr) << size;
}

TEST(Plan, BrokenPartsAreRefused) {
  const std::vector<std::function<void(PlanHeader&)>> breaks = {
      [](PlanHeader& h) { h.magic ^= 1; },
      [](PlanHeader& h) { h.version += 1; },
      [](PlanHeader& h) { h.size += 8; },
      [](PlanHeader& h) { h.kind = PlanKind::kStart; },
      [](PlanHeader& h) { h.stdio[1] = 3; },
      [](PlanHeader& h) { h.stdio[2] = kNoFd; },
      [](PlanHeader& h) { h.container = -2; },
      [](PlanHeader& h) { h.cwd = 1 << 20; },
      [](PlanHeader& h) { h.args.offset = 0xFFFFFFF8u; },
      [](PlanHeader& h) { h.args.count = 0x20000000u; },
      [](PlanHeader& h) { h.args.count = 0; },
      [](PlanHeader& h) {
        h.env = {8, 0x40000000u};
      },
      [](PlanHeader& h) { h.strings.count = 0; },
      [](PlanHeader& h) { h.strings.count -= 1; },
      [](PlanHeader& h) {
        h.seccomp = {4, 1};
      },
  };
  for (size_t i = 0; i < breaks.size(); ++i)
    EXPECT_NE(Problem(WithHead(breaks[i])), nullptr) << "break " << i;
}

TEST(Plan, AnIndexBeyondThePacketIsRefused) { EXPECT_NE(Problem(GoodPlan(), 2), nullptr); }

}  // namespace
}  // namespace crisp
