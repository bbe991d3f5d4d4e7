// The configuration of the CNI plugins bridge, ptp, host-local and portmap.
#pragma once

#include <optional>

#include "cni/builtin/bridge.h"
#include "cni/conf_list.h"

namespace crisp::cni {

// The options of `bridge` with its `ipam` if that is host-local. UNIMPLEMENTED for an option that
// our code does not know (the external plugin may), INVALID_ARGUMENT for a wrong value.
StatusOr<BridgeNetwork> ParseBridgePlugin(const Json& config, const std::string& network_name);

// Only `ipam`: ranges, routes, dataDir.
Status ParseHostLocal(const Json& ipam, BridgeNetwork* network);

// A list that our own code can execute as a whole: bridge with host-local, then perhaps portmap.
// nullopt: others must; an error: a wrong value.
StatusOr<std::optional<BridgeNetwork>> ParseInProcess(const ConfList& list);

// The list that is in force when there is none.
StatusOr<ConfList> BuiltinConfList(const std::string& bridge, const std::string& subnet);

inline constexpr char kHostLocalDir[] = "/var/lib/cni/networks";

}  // namespace crisp::cni
