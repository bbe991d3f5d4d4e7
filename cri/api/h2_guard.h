// Stands between gRPC and the CRI socket: the linker sends every accept4, recvmsg, sendmsg and
// close of the program here
// (--wrap in CMakeLists.txt), because gRPC comes as an archive and has no place for a filter of its
// own. What was accepted on a guarded path is scanned (h2_scanner.h) before gRPC sees it; all other
// descriptors pass.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"
#include "cri/api/h2_scanner.h"

namespace crisp {

// kubelet, crictl and friends have a handful; a failed accept (EMFILE) would end gRPC's listening
// for good.
inline constexpr int kMaxCriConnections = 1024;

struct H2Ended {
  H2Abuse abuse;
  pid_t peer;  // 0 if not known
};
// Called on gRPC's thread when a connection was ended.
using H2Report = void (*)(const H2Ended&);

// Connections that are accepted on `socket_path` from now on are guarded.
void GuardHttp2(const std::string& socket_path, H2Report report);

}  // namespace crisp
