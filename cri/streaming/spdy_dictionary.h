// The dictionary that both ends of SPDY/3 prime their header compression with.
#pragma once

#include <string>

namespace crisp::streaming {

// 1423 bytes (draft-mbelshe-httpbis-spdy-00, 2.6.10.1).
const std::string& SpdyDictionary();

}  // namespace crisp::streaming
