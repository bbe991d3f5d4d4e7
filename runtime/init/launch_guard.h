// What a launch changes in the launching process for its duration.
#pragma once

#include <sys/prctl.h>

#include "runtime/init/launcher.h"

namespace crisp::init {

// No handler of ours may run in a child that shares our memory or has a copy of our descriptors.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

// The dumpable flag lives in the memory that a CLONE_VM child shares, and a change of credentials
// sets it to fs.suid_dumpable (1 or 2 on some hosts): put it back, or the keeper can be ptraced.
class DumpableKept {
 public:
  DumpableKept() : before_(prctl(PR_GET_DUMPABLE)) {}
  ~DumpableKept() { prctl(PR_SET_DUMPABLE, before_ == 1 ? 1 : 0, 0, 0, 0); }
  DumpableKept(const DumpableKept&) = delete;
  DumpableKept& operator=(const DumpableKept&) = delete;

 private:
  int before_;
};

}  // namespace crisp::init
