// Slow deletions, away from the requests: one thread, a queue, retries with a growing pause. What
// it has to do is durable: the journal keeps an object's record until its work here is done, so a
// restart queues it again.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/base/status.h"

namespace crisp::cri {

class Janitor {
 public:
  Janitor();
  ~Janitor();  // drops what is queued: it is durable

  // Runs `work` soon; a failure is repeated after 0.1, 0.2 ... 30 s, logged once. `name` for logs
  // and metrics.
  void Queue(std::string name, std::function<Status()> work);
  // True when the queue ran empty within `timeout_ms` (tests, shutdown).
  bool Quiesce(int timeout_ms);

 private:
  struct Task {
    std::string name;
    std::function<Status()> work;
    int failures = 0;
    int64_t due_nanos = 0;
  };
  void Run();
  void RunOne(Task task);

  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<Task> tasks_;
  bool busy_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace crisp::cri
