// EINTR is not a result: repeat the call.
#pragma once

#include <cerrno>

namespace crisp::sys {

template <typename Call>
auto Retry(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace crisp::sys
