// A made thing that is unmade again unless the flow that made it commits.
#pragma once

#include <functional>
#include <utility>

namespace crisp {

// Runs `undo` at the end of the scope unless Commit() was called. A failed flow simply returns: its
// guards undo the finished steps in reverse order.
class [[nodiscard]] Pending {
 public:
  Pending() = default;
  explicit Pending(std::function<void()> undo) : undo_(std::move(undo)) {}
  Pending(Pending&& other) noexcept : undo_(std::exchange(other.undo_, nullptr)) {}
  Pending& operator=(Pending&& other) noexcept {
    if (this != &other) {
      Undo();
      undo_ = std::exchange(other.undo_, nullptr);
    }
    return *this;
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;
  ~Pending() { Undo(); }

  void Commit() { undo_ = nullptr; }

 private:
  void Undo() {
    if (auto undo = std::exchange(undo_, nullptr)) undo();
  }
  std::function<void()> undo_;
};

}  // namespace crisp
