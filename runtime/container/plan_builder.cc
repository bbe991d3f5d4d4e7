#include "runtime/container/plan_builder.h"

#include <cstring>

namespace crisp::runtime {
namespace {

void Align(std::string* text) { text->resize((text->size() + 7) / 8 * 8); }

}  // namespace

PlanBuilder::PlanBuilder(init::PlanKind kind) : strings_(1, '\0') {
  head_.magic = init::kPlanMagic;
  head_.version = init::kPlanVersion;
  head_.kind = kind;
  for (init::FdIndex* index :
       {&head_.stdio[0], &head_.stdio[1], &head_.stdio[2], &head_.cgroup_v2, &head_.container,
        &head_.net, &head_.ipc, &head_.uts, &head_.user, &head_.pid, &head_.root, &head_.dev,
        &head_.pts, &head_.shm, &head_.proc, &head_.sys, &head_.program}) {
    *index = init::kNoFd;
  }
  // An empty table still needs a valid offset.
  const init::Span none{sizeof(head_), 0};
  for (init::Span* span : {&head_.args, &head_.env, &head_.groups, &head_.rlimits, &head_.v1_tasks,
                           &head_.mounts, &head_.cgroup_mounts, &head_.cgroup_links, &head_.masked,
                           &head_.readonly, &head_.seccomp}) {
    *span = none;
  }
}

init::FdIndex PlanBuilder::Fd(int fd) {
  if (fd < 0) return init::kNoFd;
  for (size_t i = 0; i < fds_.size(); ++i) {
    if (fds_[i] == fd) return static_cast<init::FdIndex>(i);
  }
  fds_.push_back(fd);
  return static_cast<init::FdIndex>(fds_.size() - 1);
}

init::Str PlanBuilder::Text(absl::string_view text) {
  if (text.empty()) return 0;
  const auto offset = static_cast<init::Str>(strings_.size());
  strings_.append(text.data(), text.size());
  strings_.push_back('\0');
  return offset;
}

init::Span PlanBuilder::Texts(const std::vector<std::string>& texts) {
  std::vector<init::Str> offsets;
  offsets.reserve(texts.size());
  for (const std::string& text : texts) offsets.push_back(Text(text));
  return Table(offsets);
}

init::Span PlanBuilder::Bytes(const void* data, size_t size, size_t element) {
  Align(&body_);
  const init::Span span{static_cast<uint32_t>(sizeof(head_) + body_.size()),
                        static_cast<uint32_t>(size / element)};
  body_.append(static_cast<const char*>(data), size);
  return span;
}

std::string PlanBuilder::Finish() {
  head_.strings = Bytes(strings_.data(), strings_.size(), 1);
  head_.size = static_cast<uint32_t>(sizeof(head_) + body_.size());
  std::string plan(reinterpret_cast<const char*>(&head_), sizeof(head_));
  plan += body_;
  return plan;
}

}  // namespace crisp::runtime
