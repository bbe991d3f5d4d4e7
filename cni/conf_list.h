// CNI network configuration lists (specification 1.1, section 1).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "runtime/base/json.h"
#include "runtime/base/status.h"

namespace crisp::cni {

struct ConfPlugin {
  std::string type;
  Json config;  // the plugin's object as written
  std::set<std::string> capabilities;
};

struct ConfList {
  std::string name, version;
  bool disable_check = false, disable_gc = false;
  std::vector<ConfPlugin> plugins;
  Json json;         // the whole list
  std::string file;  // where it came from
};

// A *.conflist; or, with `single`, a *.conf or *.json that holds one plugin.
StatusOr<ConfList> ParseConfList(absl::string_view text, bool single);

// [A-Za-z0-9._-]+, and neither "." nor "..": a type is a file name, never a path (CVE-2021-20206).
bool IsPluginType(absl::string_view type);
bool IsKnownCniVersion(absl::string_view version);
// True if `version` is `least` or newer; both known.
bool VersionAtLeast(absl::string_view version, absl::string_view least);

// The list in force: the first valid file of the folders, in lexical order. Folders need not exist
// and may come and go. Thread-safe.
class ConfSource {
 public:
  struct Loaded {
    std::shared_ptr<const ConfList> list;  // null: none
    std::string problem;                   // why files were passed over
    uint64_t generation = 0;               // changes with every change
  };
  // `usable` may refuse a list (its plugins are not installed).
  ConfSource(std::vector<std::string> dirs, std::function<Status(const ConfList&)> usable);
  // Looks at names, sizes and times; reads files only if one of them changed.
  Loaded Current();

 private:
  std::string Signature() const;
  void Load();

  const std::vector<std::string> dirs_;
  const std::function<Status(const ConfList&)> usable_;
  std::mutex mutex_;
  std::string signature_;
  Loaded loaded_;
};

}  // namespace crisp::cni
