#include "runtime/seccomp/filter.h"

#include <map>
#include <mutex>

#include "absl/strings/str_format.h"
#include "runtime/seccomp/profile.h"

namespace crisp::runtime {
namespace {

// A program is ~10 KB and a node uses a handful; the bound only stops a mask-per-pod client.
constexpr size_t kMaxCached = 64;

class Cache {
 public:
  SeccompFilter Find(uint64_t key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = programs_.find(key);
    return found == programs_.end() ? nullptr : found->second;
  }
  // The first one stays: all containers of one mask share it.
  SeccompFilter Insert(uint64_t key, SeccompFilter program) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (programs_.size() >= kMaxCached) programs_.clear();
    return programs_.emplace(key, std::move(program)).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<uint64_t, SeccompFilter> programs_;
};

std::string Fnv1a(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  return absl::StrFormat("%016x", hash);
}

}  // namespace

StatusOr<SeccompFilter> DefaultSeccompFilter(uint64_t capabilities) {
  static Cache* cache = new Cache;  // never destroyed: used by threads until the process ends
  const uint64_t key = capabilities & DefaultProfileCapabilities();
  if (SeccompFilter known = cache->Find(key)) return known;
  // Compiled outside of the lock (~1 ms): a pod with a known mask does not wait for it.
  ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, CompileProfile(DefaultProfile(key)));
  auto program = std::make_shared<SeccompProgram>();
  program->digest = absl::StrFormat("default/%x/%s", key, Fnv1a(bytes));
  program->bytes = std::move(bytes);
  return cache->Insert(key, std::move(program));
}

}  // namespace crisp::runtime
