// Slow deletions: a directory is renamed here at once and removed by one background thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/sys/fd.h"

namespace crisp::image {

class Trash {
 public:
  // What an earlier run left in it is removed too.
  static StatusOr<std::unique_ptr<Trash>> Open(const std::string& path);
  ~Trash();  // what is still there stays for the next Open

  // Moves `name` of `directory` away; from now on it does not exist there.
  Status Throw(int directory, const std::string& name);

 private:
  Trash() = default;
  void Run();

  UniqueFd directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> names_;
  bool ending_ = false;
  std::thread worker_;
};

}  // namespace crisp::image
