// Arbitrary bytes as a launch plan: no crash, and every string and index of an accepted plan lies
// inside it.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/init/plan_view.h"

namespace {

using namespace crisp::init;

constexpr size_t kFds = 8;

void CheckIndex(FdIndex index) {
  if (index != kNoFd && (index < 0 || static_cast<size_t>(index) >= kFds)) abort();
}

size_t Walk(const PlanView& view) {
  size_t length = strlen(view.Text(view.head->cwd)) + strlen(view.Text(view.head->program_path));
  for (const Span span :
       {view.head->args, view.head->env, view.head->masked, view.head->readonly}) {
    for (uint32_t i = 0; i < span.count; ++i) length += strlen(view.Text(view.Items<Str>(span)[i]));
  }
  for (uint32_t i = 0; i < view.head->mounts.count; ++i) {
    const PlanMount& mount = view.Items<PlanMount>(view.head->mounts)[i];
    CheckIndex(mount.mount);
    length += strlen(view.Text(mount.target));
  }
  for (uint32_t i = 0; i < view.head->v1_tasks.count; ++i) {
    CheckIndex(view.Items<FdIndex>(view.head->v1_tasks)[i]);
  }
  for (const FdIndex index : view.head->stdio) CheckIndex(index);
  return length;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint64_t> aligned(size / 8 + 1);
  memcpy(aligned.data(), data, size);
  for (const PlanKind kind : {PlanKind::kStart, PlanKind::kExec}) {
    PlanView view;
    if (OpenPlan(aligned.data(), size, kFds, kind, &view) == nullptr) Walk(view);
  }
  return 0;
}
