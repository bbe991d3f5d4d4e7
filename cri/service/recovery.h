// Rebuilding the pods after the daemon was away: the journal, then the keeper's list, then the
// kernel. Where they differ the keeper is right. Runs before the socket opens.
#pragma once

#include "cri/service/runtime_service.h"

namespace crisp::cri {

struct RecoveryReport {
  int pods = 0, containers = 0;
  int exited_unseen = 0;  // containers that ended while nobody could see it
  int swept = 0;          // leftovers that belong to no record
};

StatusOr<RecoveryReport> Recover(const JournalReplay& replay, const ServiceParts& parts,
                                 const std::string& state_dir);

}  // namespace crisp::cri
