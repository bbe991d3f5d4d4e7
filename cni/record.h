// What the journal keeps of a pod's network: compact JSON.
//   {"v":1,"mode":"bridge","net":"crisp","bridge":"cni0","link":"cr0123456789","ips":["10.85.0.5"],
//    "ports":[[6,8080,80,"10.0.0.1"]]}
//   {"v":1,"mode":"plugins","net":"kindnet","ips":["10.244.0.7"]}
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cni/builtin/ip.h"
#include "cni/netlink/nft.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct Record {
  bool plugins = false;  // made by external plugins: the rest is in the state folder
  std::string network, bridge, link;
  std::vector<IpAddr> ips;
  std::vector<PortForward> forwards;
};

std::string FormatRecord(const Record& record);
StatusOr<Record> ParseRecord(absl::string_view text);

}  // namespace crisp::cni
