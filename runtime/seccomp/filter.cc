#include "runtime/seccomp/filter.h"

#include "absl/strings/str_format.h"
#include "runtime/seccomp/filter_cache.h"
#include "runtime/seccomp/profile.h"

namespace crisp::runtime {

StatusOr<SeccompFilter> DefaultSeccompFilter(uint64_t capabilities) {
  // Never destroyed: used by threads until the process ends.
  static auto* cache = new FilterCache<uint64_t>;
  const uint64_t key = capabilities & DefaultProfileCapabilities();
  if (SeccompFilter known = cache->Find(key)) return known;
  // Compiled outside of the lock (~1 ms): a pod with a known mask does not wait for it.
  ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, CompileForKernel(DefaultProfile(key)));
  auto program = std::make_shared<SeccompProgram>();
  program->digest = absl::StrFormat("default/%x/%s", key, Fnv1a(bytes));
  program->bytes = std::move(bytes);
  return cache->Insert(key, std::move(program));
}

}  // namespace crisp::runtime
