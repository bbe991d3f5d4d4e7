// Lays out a launch plan (format: runtime/init/launch_plan_wire.h).
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/init/launch_plan_wire.h"

namespace crisp::runtime {

class PlanBuilder {
 public:
  explicit PlanBuilder(init::PlanKind kind);

  init::PlanHeader& head() { return head_; }

  // Adds a borrowed descriptor to the packet; -1 gives kNoFd.
  init::FdIndex Fd(int fd);
  // The text must not contain NUL (translate refuses those); what follows one would be cut off.
  init::Str Text(absl::string_view text);
  init::Span Texts(const std::vector<std::string>& texts);
  init::Span Bytes(const void* data, size_t size, size_t element);
  template <typename T>
  init::Span Table(const std::vector<T>& items) {
    return Bytes(items.data(), items.size() * sizeof(T), sizeof(T));
  }

  const std::vector<int>& fds() const { return fds_; }
  // The finished plan. Call once.
  std::string Finish();

 private:
  init::PlanHeader head_{};
  std::string body_;     // follows the header
  std::string strings_;  // follows the body; offset 0 is ""
  std::vector<int> fds_;
};

}  // namespace crisp::runtime
