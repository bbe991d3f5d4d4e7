#include "cri/pods/pod_store.h"

#include <mutex>

#include "absl/strings/match.h"

namespace crisp::cri {
namespace {

template <typename T>
StatusOr<std::shared_ptr<T>> Find(const std::map<std::string, std::shared_ptr<T>>& objects,
                                  const std::string& id, absl::string_view kind) {
  if (id.empty()) return InvalidField(absl::StrCat(kind, " id"), id, "must not be empty");
  const auto first = objects.lower_bound(id);
  if (first == objects.end() || !absl::StartsWith(first->first, id)) {
    return absl::NotFoundError(absl::StrCat(kind, " \"", id.substr(0, 80), "\" not found"));
  }
  if (first->first.size() == id.size()) return first->second;
  const auto second = std::next(first);
  if (second != objects.end() && absl::StartsWith(second->first, id)) {
    return InvalidField(absl::StrCat(kind, " id"), id, "prefix of several ids");
  }
  return first->second;
}

template <typename T>
std::vector<std::shared_ptr<T>> Values(const std::map<std::string, std::shared_ptr<T>>& objects) {
  std::vector<std::shared_ptr<T>> values;
  values.reserve(objects.size());
  for (const auto& [id, object] : objects) values.push_back(object);
  return values;
}

}  // namespace

void PodStore::Add(std::shared_ptr<Pod> pod) {
  std::unique_lock lock(mu_);
  pods_[pod->id] = std::move(pod);
}

void PodStore::Add(std::shared_ptr<Container> container) {
  std::unique_lock lock(mu_);
  containers_[container->id] = std::move(container);
}

void PodStore::RemovePod(const std::string& id) {
  std::unique_lock lock(mu_);
  pods_.erase(id);
}

void PodStore::RemoveContainer(const std::string& id) {
  std::unique_lock lock(mu_);
  containers_.erase(id);
}

StatusOr<std::shared_ptr<Pod>> PodStore::FindPod(const std::string& id) const {
  std::shared_lock lock(mu_);
  return Find(pods_, id, "pod sandbox");
}

StatusOr<std::shared_ptr<Container>> PodStore::FindContainer(const std::string& id) const {
  std::shared_lock lock(mu_);
  return Find(containers_, id, "container");
}

std::vector<std::shared_ptr<Pod>> PodStore::Pods() const {
  std::shared_lock lock(mu_);
  return Values(pods_);
}

std::vector<std::shared_ptr<Container>> PodStore::Containers() const {
  std::shared_lock lock(mu_);
  return Values(containers_);
}

}  // namespace crisp::cri
