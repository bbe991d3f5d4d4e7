// A checked launch plan.
#pragma once

#include <stddef.h>

#include "runtime/init/launch_plan_wire.h"

namespace crisp::init {

struct PlanView {
  const char* base = nullptr;
  const PlanHeader* head = nullptr;

  const char* Text(Str offset) const { return base + head->strings.offset + offset; }
  template <typename T>
  const T* Items(Span span) const {
    return reinterpret_cast<const T*>(base + span.offset);
  }
  bool Has(PlanFlag flag) const { return (head->flags & flag) != 0; }
};

// Checks everything that later code relies on. Returns nullptr, or the name of the bad part.
// `data` must not change while the view is used (a sealed memfd, or a copy).
const char* OpenPlan(const void* data, size_t size, size_t fd_count, PlanKind kind, PlanView* view);

}  // namespace crisp::init
