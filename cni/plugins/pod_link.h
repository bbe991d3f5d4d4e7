// What bridge and ptp share: the pod's namespace by its path, the cable's end in it, NAT.
#pragma once

#include "cni/builtin/bridge.h"
#include "cni/plugins/protocol.h"

namespace crisp::cni {

struct PodNetns {
  UniqueFd fd;
  NlSocket route;
};
// Router advertisements are not accepted in it from now on.
StatusOr<PodNetns> OpenPodNetns(const std::string& path);

// Deletes the pod's end, and with it the cable; fine if link or namespace are gone.
Status DeletePodLink(const PluginRequest& request);
// The link exists in the pod and has the addresses of prevResult.
Status CheckPodLink(const PluginRequest& request);

std::string NewVethName();

// One table for each bridge and set of subnets: made once, shared by all pods, left in place.
Status EnsureMasquerade(const std::string& name, const std::vector<IpPrefix>& subnets,
                        bool masquerade);
// The name of that table.
std::string PluginTableName(const std::string& name, const std::vector<IpPrefix>& subnets);

std::vector<IpPrefix> SubnetsOf(const AddResult& result);

}  // namespace crisp::cni
