// Our standard streams tied to an exec or an attachment.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::cli {

struct SessionStreams {
  bool in = false, tty = false;
  bool detach_keys = false;  // ctrl-P ctrl-Q leaves
  std::string ca_file;       // of an https server
};

// Until it ends. The exit code; 0 after the detach keys.
StatusOr<int> RunSession(const std::string& url, const SessionStreams& streams);

// The exit code in the v4 status of the error channel; other failures are errors with its message.
StatusOr<int> ExitCodeOfStatus(absl::string_view json);

}  // namespace crisp::cli
