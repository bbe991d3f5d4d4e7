// Where exits arrive. The keeper's client thread posts and never blocks; containers' exits are
// handled one after another on a thread of the board, exec's exits are picked up by the call that
// waits for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "runtime/base/status.h"
#include "runtime/keeper/client.h"

namespace crisp::cri {

class ExitBoard {
 public:
  ExitBoard() = default;
  ~ExitBoard() { Stop(); }

  void Post(const keeper::ExitEvent& event);
  // `handle` answers whether the id is a container's; all other exits wait for TakeExec.
  void Start(std::function<bool(const keeper::ExitEvent&)> handle);
  // Ends the thread; what is still queued stays with the keeper, which repeats it to the next
  // daemon.
  void Stop();
  // The wait(2) status of an exec. DEADLINE_EXCEEDED after `timeout_ms` (< 0: no limit).
  StatusOr<int> TakeExec(const std::string& exec_id, int timeout_ms);

 private:
  void Run();

  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<keeper::ExitEvent> queue_;
  std::map<std::string, int> execs_;    // exits nobody has taken yet
  std::deque<std::string> exec_order_;  // oldest first: execs of a daemon that died are never taken
  std::function<bool(const keeper::ExitEvent&)> handle_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace crisp::cri
