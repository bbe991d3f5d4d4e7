// SHA-256 and the grammar of digests. No Abseil: the unpacker uses it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace crisp::image {

class Sha256 {
 public:
  Sha256();
  void Update(std::string_view bytes);
  // "sha256:<64 hex>"; ends the computation.
  std::string Digest();

 private:
  alignas(16) unsigned char state_[128];
};

std::string DigestOf(std::string_view bytes);

// Exactly "sha256:" and 64 lower-case hex digits: checked before a digest gets near a URL or path.
bool IsDigest(std::string_view text);

// The hex part, used as a file name. Only for checked digests.
inline std::string HexOf(std::string_view digest) { return std::string(digest.substr(7)); }

}  // namespace crisp::image
