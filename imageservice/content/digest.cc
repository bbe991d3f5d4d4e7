// The low-level SHA-256 functions: they pull one object file out of libcrypto.a, where EVP would
// pull in all of it.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "imageservice/content/digest.h"

#include <openssl/sha.h>

namespace crisp::image {
namespace {

SHA256_CTX* Context(unsigned char* state) { return reinterpret_cast<SHA256_CTX*>(state); }

}  // namespace

Sha256::Sha256() {
  static_assert(sizeof(SHA256_CTX) <= sizeof(state_));
  SHA256_Init(Context(state_));
}

void Sha256::Update(std::string_view bytes) {
  SHA256_Update(Context(state_), bytes.data(), bytes.size());
}

std::string Sha256::Digest() {
  unsigned char hash[SHA256_DIGEST_LENGTH];
  SHA256_Final(hash, Context(state_));
  std::string text = "sha256:";
  for (const unsigned char byte : hash) {
    text.push_back("0123456789abcdef"[byte >> 4]);
    text.push_back("0123456789abcdef"[byte & 15]);
  }
  return text;
}

std::string DigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Digest();
}

bool IsDigest(std::string_view text) {
  if (text.size() != 71 || text.substr(0, 7) != "sha256:") return false;
  return text.find_first_not_of("0123456789abcdef", 7) == std::string_view::npos;
}

}  // namespace crisp::image
