// The daemon's side of one crisp-unpack: start it, feed it, read its verdict; it dies with this
// object.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "imageservice/layers/unpack_pipeline.h"
#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

class UnpackProcess {
 public:
  // `unpacker`: O_PATH descriptor of the program. `directory`: the layer's, O_PATH.
  static StatusOr<std::unique_ptr<UnpackProcess>> Start(int unpacker, int directory,
                                                        const UnpackRequest& request);
  ~UnpackProcess();
  UnpackProcess(const UnpackProcess&) = delete;
  UnpackProcess& operator=(const UnpackProcess&) = delete;

  // Waits while the process is busy, at most its no-progress deadline, polling `cancelled`.
  // UNAVAILABLE-free: an error here is final; the verdict is in Finish.
  Status Feed(absl::string_view bytes, const std::function<bool()>& cancelled);
  // Ends the input and waits for the verdict.
  StatusOr<UnpackCounters> Finish(const std::function<bool()>& cancelled);

 private:
  UnpackProcess() = default;
  Status Listen(bool* alive);
  Status WaitFor(int fd, const std::function<bool()>& cancelled);
  StatusOr<UnpackCounters> Verdict(const std::string& line);

  pid_t pid_ = -1;
  UniqueFd pidfd_, input_, result_;
  std::string verdict_;  // what it said so far, without heartbeats
  bool silent_ = false;  // it will say no more
};

}  // namespace crisp::image
