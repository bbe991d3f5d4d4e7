// Programs by what they depend on. A program is ~10 KB and a node uses a handful; the bound only
// stops a profile-per-pod client.
#pragma once

#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_format.h"
#include "runtime/seccomp/filter.h"

namespace crisp::runtime {

template <typename Key>
class FilterCache {
 public:
  SeccompFilter Find(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = programs_.find(key);
    return found == programs_.end() ? nullptr : found->second;
  }
  // The first one stays: all containers of one profile share it.
  SeccompFilter Insert(const Key& key, SeccompFilter program) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (programs_.size() >= kMaxCached) programs_.clear();
    return programs_.emplace(key, std::move(program)).first->second;
  }

 private:
  static constexpr size_t kMaxCached = 64;

  std::mutex mutex_;
  std::map<Key, SeccompFilter> programs_;
};

template <typename Bytes>
std::string Fnv1a(const Bytes& bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const auto byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return absl::StrFormat("%016x", hash);
}

}  // namespace crisp::runtime
