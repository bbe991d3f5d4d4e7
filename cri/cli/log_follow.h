// Reads a container's log as it grows, across rotations.
#pragma once

#include <string>

#include "cri/cli/cri_client.h"
#include "cri/cli/cri_log.h"
#include "runtime/sys/fd.h"

namespace crisp::cli {

class LogReader {
 public:
  LogReader(std::string path, bool timestamps) : path_(std::move(path)), printer_(timestamps) {}

  // NOT_FOUND if there is no log. tail < 0: from the start.
  Status Open(int64_t tail);
  // Prints all that is there now, of the old file and of the one that replaced it.
  Status Pump();
  // Readable when the log changed; valid after Watch().
  Status Watch();
  int watch_fd() const { return watch_.get(); }

 private:
  Status PumpFile();
  StatusOr<bool> Reopen();

  const std::string path_;
  LogPrinter printer_;
  UniqueFd file_, watch_;
};

// Prints until the container ends; gives its exit code. SIGINT and SIGTERM stop the container if
// `stop_on_signal`, else they end us as usual.
StatusOr<int> FollowLog(CriClient& client, const std::string& container_id, LogReader& log,
                        bool stop_on_signal);

}  // namespace crisp::cli
