// Where a plugin's addresses come from: host-local in this process, or a delegated plugin.
#pragma once

#include "cni/plugins/protocol.h"
#include "runtime/base/status.h"

namespace crisp::cni {

StatusOr<AddResult> HostLocalAdd(const PluginRequest& request);
Status HostLocalDel(const PluginRequest& request);
Status HostLocalCheck(const PluginRequest& request);
Status HostLocalGc(const PluginRequest& request);
Status HostLocalStatus(const PluginRequest& request);

// By `ipam.type`; without one there are no addresses.
StatusOr<AddResult> AllocateAddresses(const PluginRequest& request);
Status ReleaseAddresses(const PluginRequest& request);
Status CheckAddresses(const PluginRequest& request);
Status CollectAddresses(const PluginRequest& request);
Status AddressesStatus(const PluginRequest& request);

}  // namespace crisp::cni
