#include "cri/cli/objects.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "cri/cli/output.h"
#include "cri/cli/run_config.h"
#include "runtime/base/files.h"

namespace crisp::cli {
namespace {

bool IsLive(const v1::Container& container) { return container.state() == v1::CONTAINER_RUNNING; }
bool IsLive(const v1::PodSandbox& pod) { return pod.state() == v1::SANDBOX_READY; }

// "default/web" names a pod of a namespace; containers have none.
bool HasName(const v1::Container& container, const std::string& text) {
  return container.metadata().name() == text;
}
bool HasName(const v1::PodSandbox& pod, const std::string& text) {
  return pod.metadata().name() == text ||
         absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name()) == text;
}

template <typename Item>
StatusOr<Item> One(std::vector<const Item*> found, const char* kind, const std::string& text) {
  if (found.size() > 1) {
    std::vector<const Item*> live;
    std::copy_if(found.begin(), found.end(), std::back_inserter(live),
                 [](const Item* item) { return IsLive(*item); });
    if (live.size() == 1) found = live;
  }
  if (found.size() == 1) return *found[0];
  std::vector<std::string> ids;
  for (const Item* item : found) ids.push_back(ShortId(item->id()));
  return InvalidField(kind, text, absl::StrCat("is not one but ", absl::StrJoin(ids, ", ")));
}

// Id first, then name, then prefix: a name must not be shadowed by somebody's random id.
template <typename Item, typename List>
StatusOr<Item> Choose(const List& list, const char* kind, const std::string& text) {
  std::vector<const Item*> names, prefixes;
  for (const Item& item : list) {
    if (item.id() == text) return item;
    if (HasName(item, text)) names.push_back(&item);
    if (!text.empty() && absl::StartsWith(item.id(), text)) prefixes.push_back(&item);
  }
  if (!names.empty()) return One<Item>(names, kind, text);
  if (!prefixes.empty()) return One<Item>(prefixes, kind, text);
  return absl::NotFoundError(absl::StrCat("no ", kind, " \"", Printable(text), "\""));
}

}  // namespace

StatusOr<v1::Container> ChooseContainer(const v1::ListContainersResponse& list,
                                        const std::string& text) {
  return Choose<v1::Container>(list.containers(), "container", text);
}

StatusOr<v1::PodSandbox> ChoosePod(const v1::ListPodSandboxResponse& list,
                                   const std::string& text) {
  return Choose<v1::PodSandbox>(list.items(), "pod", text);
}

StatusOr<v1::Container> FindContainer(CriClient& client, const std::string& text) {
  ASSIGN_OR_RETURN(const auto list, client.ListContainers({}));
  return ChooseContainer(list, text);
}

StatusOr<v1::PodSandbox> FindPod(CriClient& client, const std::string& text) {
  ASSIGN_OR_RETURN(const auto list, client.ListPodSandbox({}));
  return ChoosePod(list, text);
}

bool IsFromRun(const v1::PodSandbox& pod) { return pod.labels().count(kRunLabel) != 0; }

Status RemovePod(CriClient& client, const v1::PodSandbox& pod) {
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(pod.id());
  RETURN_IF_ERROR(client.StopPodSandbox(stop).status());
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod.id());
  RETURN_IF_ERROR(client.RemovePodSandbox(remove).status());
  // Only below our own folder, and the label is ours: another's log directory is the kubelet's.
  if (!IsFromRun(pod) || !IsRunName(pod.metadata().name())) return absl::OkStatus();
  auto logs = OpenDir(kRunLogRoot);
  if (!logs.ok()) return absl::OkStatus();
  return RemoveTreeAt(logs->get(), pod.metadata().name());
}

}  // namespace crisp::cli
