// The index of pods and containers: by id or unambiguous id prefix. Its lock guards the maps only.
#pragma once

#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "cri/pods/mcs_levels.h"
#include "cri/pods/names.h"
#include "cri/pods/pod.h"
#include "runtime/base/status.h"

namespace crisp::cri {

class PodStore {
 public:
  void Add(std::shared_ptr<Pod> pod);
  void Add(std::shared_ptr<Container> container);
  void RemovePod(const std::string& id);
  void RemoveContainer(const std::string& id);

  // NOT_FOUND "pod sandbox \"x\" not found"; an ambiguous prefix is INVALID_ARGUMENT.
  StatusOr<std::shared_ptr<Pod>> FindPod(const std::string& id) const;
  StatusOr<std::shared_ptr<Container>> FindContainer(const std::string& id) const;

  std::vector<std::shared_ptr<Pod>> Pods() const;
  std::vector<std::shared_ptr<Container>> Containers() const;

  NameTable& names() { return names_; }
  McsLevels& levels() { return levels_; }

 private:
  mutable std::shared_mutex mu_;
  std::map<std::string, std::shared_ptr<Pod>> pods_;
  std::map<std::string, std::shared_ptr<Container>> containers_;
  NameTable names_;
  McsLevels levels_;
};

}  // namespace crisp::cri
