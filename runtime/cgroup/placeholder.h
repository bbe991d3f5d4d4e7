// A process of ours that is the first member of a scope, which systemd does not make empty, and
// leaves once the container is in it. It reads from a pipe that nothing is written to: it ends when
// this object does, or with the daemon, however that ends.
#pragma once

#include <string>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::runtime {

class Placeholder {
 public:
  // `program`: crisp-keeper, which with --placeholder does nothing but that.
  static StatusOr<Placeholder> Start(const std::string& program);
  Placeholder() = default;
  Placeholder(Placeholder&& other) noexcept;
  Placeholder& operator=(Placeholder&& other) noexcept;
  ~Placeholder() { End(); }

  pid_t pid() const { return pid_; }
  void End();

 private:
  pid_t pid_ = -1;
  UniqueFd write_;
};

}  // namespace crisp::runtime
