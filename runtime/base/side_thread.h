// A step of a flow that runs beside it, on another core if one is idle.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/base/status.h"

namespace crisp {

// One waiting thread, so that a step costs a wake-up and no thread. Steps need not be taken in
// time: who joins one that still waits runs it itself, so a busy machine loses nothing and no flow
// waits for another one's step.
class SideThread {
 public:
  SideThread();
  ~SideThread();  // no step may be under way
  SideThread(const SideThread&) = delete;

 private:
  friend class SideStep;
  struct Step {
    std::function<Status()> run;
    bool done = false;
    Status result;
  };
  void Run();
  bool TakeBack(const std::shared_ptr<Step>& step);  // false: the thread has it
  Status Wait(const Step& step);

  std::mutex mu_;
  std::condition_variable work_, done_;
  std::deque<std::shared_ptr<Step>> waiting_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

// Over at the latest when it goes out of scope (a step that nobody has taken by then is dropped):
// it may refer to whatever was declared before.
class [[nodiscard]] SideStep {
 public:
  // Without a thread (`side` null) the step runs when it is joined.
  SideStep(SideThread* side, std::function<Status()> step);
  ~SideStep();
  SideStep(const SideStep&) = delete;

  Status Join();  // once

 private:
  SideThread* const side_;
  std::shared_ptr<SideThread::Step> step_;
};

}  // namespace crisp
