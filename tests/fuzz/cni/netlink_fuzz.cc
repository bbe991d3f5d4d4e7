// Netlink answers, as if the kernel were hostile.
#include <cstddef>
#include <cstdint>

#include "cni/builtin/live_network.h"
#include "cni/netlink/link.h"
#include "cni/netlink/message.h"

using namespace crisp;
using namespace crisp::cni;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  NlMessage message;
  size_t left = rest.size();
  while (NextMessage(&rest, &message)) {
    if (rest.size() >= left) __builtin_trap();  // no progress
    left = rest.size();
    NlError error;
    if (ParseError(message, &error) && error.error < 0) __builtin_trap();
    if (const auto link = ParseLink(message)) CableAddresses(*link, "0123456789abcdef");
    if (const auto address = ParseLinkAddress(message)) {
      address->prefix.ToString();
      address->prefix.LastAddress();
    }
    message.header.nlmsg_type = 16;  // RTM_NEWLINK: reach the parser whatever the type says
    ParseLink(message);
    message.header.nlmsg_type = 20;  // RTM_NEWADDR
    ParseLinkAddress(message);
  }
  return 0;
}
