// What a launcher shares with a stub (exec_init.cc, joined_init.cc), and how it learns from it.
#pragma once

#include "runtime/init/child.h"
#include "runtime/sys/clone.h"

namespace crisp::init {

// Shared by launcher and stub, not by the process that the stub makes.
struct StubShared {
  pid_t pid = 0;        // stored by the kernel when that process is made
  bool mapped = false;  // a page of its own
};

// Pipe and shared memory of one launch.
struct StubChannel {
  int read_end = -1, write_end = -1;
  StubShared here;  // for a stub that has our memory
  StubShared* shared = &here;

  StubChannel() = default;
  StubChannel(const StubChannel&) = delete;
  StubChannel& operator=(const StubChannel&) = delete;
  ~StubChannel();

  // 0 or errno. `own_memory`: the stub has a copy of ours.
  int Open(bool own_memory);
  void CloseWriteEnd();
  // A volatile read: the stub may have died in the middle.
  pid_t pid() const { return *const_cast<volatile pid_t*>(&shared->pid); }
};

// The stub's end: the new process goes on, as the keeper's child (CLONE_PARENT) and with memory of
// its own; the stub exits. `new_namespaces`: CLONE_NEW*.
void CloneOutOfStub(Child& child, StubShared* shared, int new_namespaces);

// In stub and process: what went wrong goes to the launcher.
[[noreturn]] void TellAndExit(Child& child);

// CLONE_PIDFD into `pidfd`, handlers cleared, into the plan's v2 cgroup.
sys::CloneArgs StubCloneArgs(const Child& child, std::atomic<int>* pidfd);

// True if the stub was killed: the deadline has passed.
bool WaitForStub(LaunchWatch* watch);

// A pidfd for `pid` if that is a child of ours. The number alone proves nothing.
int OpenChild(pid_t pid);

// False: the pipe ended without a report. What it carries is foreign: who may ptrace the new
// process may forge it. It is only shown.
bool ReadReport(int pipe, Report* report);

}  // namespace crisp::init
