// Sysctls of a pod's namespaces.
#pragma once

#include <map>
#include <string>

#include "runtime/base/status.h"

namespace crisp::runtime {

// Writes the values through the calling thread's namespaces: the caller has joined the pod's.
Status WriteSysctls(const std::map<std::string, std::string>& sysctls);

}  // namespace crisp::runtime
