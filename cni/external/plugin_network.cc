#include "cni/external/plugin_network.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <limits>

#include "absl/strings/str_join.h"
#include "cni/builtin/netns.h"
#include "cni/external/exec_plugin.h"
#include "cni/external/result.h"
#include "cni/netlink/link.h"
#include "cni/record.h"
#include "runtime/base/files.h"
#include "runtime/base/pending.h"
#include "runtime/base/stages.h"

namespace crisp::cni {
namespace {

constexpr int64_t kLongestPauseMs = 60'000;
constexpr int64_t kStatusNanos = 5'000'000'000;
constexpr int kStatusTimeoutMs = 10'000;
constexpr char kIfName[] = "eth0";

// A pin keeps the namespace for plugins that know it by its path, also for DEL after the pod's end.
Status PinNetns(int netns_fd, const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file.valid()) return ErrnoStatus(errno, "create ", path);
  const std::string source = absl::StrCat("/proc/self/fd/", netns_fd);
  if (mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0) return absl::OkStatus();
  const Status status = ErrnoStatus(errno, "pin network namespace at ", path);
  unlink(path.c_str());
  return status;
}

Status UnpinNetns(const std::string& path) {
  // EINVAL: a file without a mount, as a crash between the two steps leaves it.
  if (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL &&
      errno != ENOENT)
    return ErrnoStatus(errno, "unmount ", path);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, "remove ", path);
  return absl::OkStatus();
}

// The runtime's own job, with the loopback plugin left out.
Status SetLoopbackUp(NlSocket& pod) {
  NlBatch batch;
  AppendSetLinkUp(batch, "lo");
  return pod.Transact(batch, "set lo up");
}

StatusOr<std::string> CniArgs(const PodIdentity& pod) {
  for (const auto& [field, value] : {std::pair{"metadata.name", pod.name},
                                     {"metadata.namespace", pod.ns},
                                     {"metadata.uid", pod.uid}}) {
    // It would be read as another argument.
    if (value.find(';') != std::string::npos || value.find('\0') != std::string::npos)
      return InvalidField(field, value, "has a character that separates CNI arguments");
  }
  return absl::StrCat("IgnoreUnknown=1;K8S_POD_NAMESPACE=", pod.ns, ";K8S_POD_NAME=", pod.name,
                      ";K8S_POD_INFRA_CONTAINER_ID=", pod.sandbox_id, ";K8S_POD_UID=", pod.uid);
}

Json CapabilityArgs(const PodIdentity& pod) {
  Json ports = Json::array();
  for (const PortMapping& port : pod.ports) {
    if (port.host_port == 0) continue;
    Json json = {{"hostPort", port.host_port},
                 {"containerPort", port.container_port},
                 {"protocol", port.protocol}};
    if (!port.host_ip.empty()) json["hostIP"] = port.host_ip;
    ports.push_back(json);
  }
  return ports.empty() ? Json::object() : Json{{"portMappings", ports}};
}

// Section 3: the plugin's object with the list's name and version, the previous result, and those
// runtime values that the plugin asks for by its capabilities.
Json PluginConfig(const ConfList& list, const ConfPlugin& plugin,
                  const StoredAttachment& attachment, const Json& previous) {
  Json config = plugin.config;
  config["name"] = list.name;
  config["cniVersion"] = list.version;
  if (!previous.is_null()) config["prevResult"] = previous;
  Json runtime = Json::object();
  for (const auto& [name, value] : attachment.capability_args.items())
    if (plugin.capabilities.count(name) > 0) runtime[name] = value;
  if (!runtime.empty()) config["runtimeConfig"] = runtime;
  return config;
}

}  // namespace

PluginNetwork::PluginNetwork(const Options& options, AttachmentStore store)
    : options_(options), store_(std::move(store)) {}

StatusOr<std::unique_ptr<PluginNetwork>> PluginNetwork::Open(const Options& options) {
  RETURN_IF_ERROR(MakeDirs(options.state_dir + "/netns", 0700));
  ASSIGN_OR_RETURN(AttachmentStore store, AttachmentStore::Open(options.state_dir + "/results"));
  std::unique_ptr<PluginNetwork> network(new PluginNetwork(options, std::move(store)));
  network->cancel_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!network->cancel_.valid()) return ErrnoStatus(errno, "make eventfd of plugin calls");
  return network;
}

PluginNetwork::~PluginNetwork() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  // A DEL that is cut off is done again after the restart.
  eventfd_write(cancel_.get(), 1);
  if (worker_.joinable()) worker_.join();
}

std::string PluginNetwork::PinPath(const std::string& sandbox_id) const {
  return absl::StrCat(options_.state_dir, "/netns/cni-", sandbox_id);
}

Status PluginNetwork::CheckInstalled(const ConfList& list) const {
  for (const ConfPlugin& plugin : list.plugins)
    RETURN_IF_ERROR(FindPlugin(options_.bin_dirs, plugin.type).status());
  return absl::OkStatus();
}

StatusOr<std::string> PluginNetwork::Call(const std::string& command, const ConfPlugin& plugin,
                                          const StoredAttachment& attachment, Json config,
                                          int timeout_ms) {
  ASSIGN_OR_RETURN(const PluginFile file, FindPlugin(options_.bin_dirs, plugin.type));
  PluginCall call;
  call.command = command;
  call.container_id = attachment.container_id;
  call.netns = attachment.netns;
  call.ifname = attachment.container_id.empty() ? "" : attachment.ifname;
  call.args = attachment.args;
  call.bin_dirs = options_.bin_dirs;
  call.config = config.dump(-1, ' ', false, Json::error_handler_t::replace);
  call.timeout_ms = timeout_ms;
  call.cancel_fd = cancel_.get();
  return ExecPlugin(file, call);
}

Status PluginNetwork::RunAdd(const ConfList& list, StoredAttachment* attachment) {
  Json result;
  for (const ConfPlugin& plugin : list.plugins) {
    ASSIGN_OR_RETURN(const std::string output,
                     Call("ADD", plugin, *attachment,
                          PluginConfig(list, plugin, *attachment, result), options_.timeout_ms));
    StatusOr<Json> json = ParseResultJson(output);
    if (!json.ok()) return Annotate(json.status(), "plugin ", plugin.type, ": ADD");
    result = std::move(*json);
    // What a later plugin and DEL read it as.
    if (!result.contains("cniVersion")) result["cniVersion"] = list.version;
  }
  attachment->result = std::move(result);
  return absl::OkStatus();
}

StatusOr<Lease> PluginNetwork::Add(const ConfList& list, const PodIdentity& pod) {
  if (!IsPluginType(pod.sandbox_id) || pod.sandbox_id.size() > 128)
    return InvalidField("sandbox id", pod.sandbox_id, "not usable as a file name");
  StoredAttachment attachment;
  attachment.container_id = pod.sandbox_id;
  attachment.network = list.name;
  attachment.netns = PinPath(pod.sandbox_id);
  ASSIGN_OR_RETURN(attachment.args, CniArgs(pod));
  attachment.config = list.json;
  attachment.capability_args = CapabilityArgs(pod);
  {
    // GC must not see a half-made attachment (specification: exclusive).
    std::unique_lock<std::mutex> lock(mutex_);
    const auto longest = std::chrono::milliseconds(options_.timeout_ms);
    if (!changed_.wait_for(lock, longest, [&] { return !collecting_; }))
      return absl::UnavailableError("the plugins' GC does not end");
    ++adding_;
    live_.insert(pod.sandbox_id);
  }
  crisp::Pending done([&] {
    const std::lock_guard<std::mutex> lock(mutex_);
    --adding_;
    changed_.notify_all();
  });
  crisp::Pending undo([&] { Release(pod.sandbox_id); });

  ASSIGN_OR_RETURN(NewNetns netns, pod.netns >= 0 ? AdoptNetns(pod.netns, true) : MakeNetns(true));
  RETURN_IF_ERROR(SetLoopbackUp(netns.route));
  RETURN_IF_ERROR(PinNetns(netns.fd.get(), attachment.netns));
  {
    const std::lock_guard<std::mutex> lock(store_mutex_);
    RETURN_IF_ERROR(store_.Put(attachment));
  }
  RETURN_IF_ERROR(RunAdd(list, &attachment));
  ASSIGN_OR_RETURN(const PluginResult result, ReadResult(attachment.result));
  {
    const std::lock_guard<std::mutex> lock(store_mutex_);
    RETURN_IF_ERROR(store_.Put(attachment));
  }
  undo.Commit();
  Record record;
  record.plugins = true;
  record.network = list.name;
  record.ips = result.ips;
  Lease lease;
  lease.netns = std::move(netns.fd);
  for (const IpAddr& ip : result.ips) lease.ips.push_back(ip.ToString());
  lease.record = FormatRecord(record);
  return lease;
}

Status PluginNetwork::Adopt(const std::string& sandbox_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  live_.insert(sandbox_id);
  return absl::OkStatus();
}

Status PluginNetwork::DeleteAttachment(const StoredAttachment& attachment) {
  ASSIGN_OR_RETURN(const ConfList list, ParseConfList(attachment.config.dump(), false));
  StoredAttachment call = attachment;
  // Without a namespace the plugin still frees its address (section 4: CNI_NETNS may be empty).
  if (access(call.netns.c_str(), F_OK) != 0) call.netns.clear();
  for (auto plugin = list.plugins.rbegin(); plugin != list.plugins.rend(); ++plugin) {
    RETURN_IF_ERROR(Call("DEL", *plugin, call, PluginConfig(list, *plugin, call, attachment.result),
                         options_.timeout_ms)
                        .status());
  }
  return absl::OkStatus();
}

Status PluginNetwork::RunDel(const std::string& sandbox_id) {
  StatusOr<StoredAttachment> attachment = absl::UnknownError("");
  {
    const std::lock_guard<std::mutex> lock(store_mutex_);
    attachment = store_.Get(sandbox_id);
  }
  // Without a file ADD never began, or DEL is done.
  if (attachment.ok()) RETURN_IF_ERROR(DeleteAttachment(*attachment));
  if (!attachment.ok() && !absl::IsNotFound(attachment.status())) return attachment.status();
  RETURN_IF_ERROR(UnpinNetns(PinPath(sandbox_id)));
  const std::lock_guard<std::mutex> lock(store_mutex_);
  return store_.Remove(sandbox_id);
}

void PluginNetwork::StartWorker() {
  if (!worker_.joinable()) worker_ = std::thread([this] { RunWorker(); });
  changed_.notify_all();
}

void PluginNetwork::Release(const std::string& sandbox_id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  live_.erase(sandbox_id);
  pending_.emplace(sandbox_id, Pending{});
  StartWorker();
}

void PluginNetwork::Sweep(const std::shared_ptr<const ConfList>& list) {
  std::vector<std::string> stored;
  {
    const std::lock_guard<std::mutex> lock(store_mutex_);
    StatusOr<std::vector<std::string>> ids = store_.List();
    if (ids.ok()) stored = std::move(*ids);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const std::string& id : stored)
    if (live_.count(id) == 0) pending_.emplace(id, Pending{});
  // A list that several runtimes share says disableGC.
  if (list && !list->disable_gc && VersionAtLeast(list->version, "1.1.0")) gc_ = list;
  if (!pending_.empty() || gc_) StartWorker();
}

void PluginNetwork::RunGc(const ConfList& list) {
  Json valid = Json::array();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const std::string& id : live_) valid.push_back({{"containerID", id}, {"ifname", kIfName}});
  }
  StoredAttachment nobody;
  for (const ConfPlugin& plugin : list.plugins) {
    Json config = PluginConfig(list, plugin, nobody, Json());
    config["cni.dev/valid-attachments"] = valid;
    // GC is a help, not a duty: a plugin that does not know it is no problem.
    Call("GC", plugin, nobody, std::move(config), options_.timeout_ms).status().IgnoreError();
  }
}

void PluginNetwork::WorkOne(std::unique_lock<std::mutex>& lock) {
  const int64_t now = MonotonicNanos();
  const auto due = std::find_if(pending_.begin(), pending_.end(),
                                [&](const auto& entry) { return entry.second.due <= now; });
  working_ = true;
  if (due != pending_.end()) {
    const std::string id = due->first;
    lock.unlock();
    const Status status = RunDel(id);
    lock.lock();
    if (status.ok()) {
      pending_.erase(id);
    } else {
      Pending& entry = pending_[id];
      entry.pause_ms = std::min(entry.pause_ms == 0 ? options_.retry_first_ms : entry.pause_ms * 2,
                                kLongestPauseMs);
      entry.due = MonotonicNanos() + entry.pause_ms * 1'000'000;
    }
  } else if (gc_ && adding_ == 0) {
    const std::shared_ptr<const ConfList> list = std::move(gc_);
    gc_ = nullptr;
    collecting_ = true;
    lock.unlock();
    RunGc(*list);
    lock.lock();
    collecting_ = false;
  }
  working_ = false;
  changed_.notify_all();
}

void PluginNetwork::RunWorker() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    int64_t due = std::numeric_limits<int64_t>::max();
    for (const auto& [id, entry] : pending_) due = std::min(due, entry.due);
    const int64_t now = MonotonicNanos();
    if (due <= now || (gc_ && adding_ == 0)) {
      WorkOne(lock);
    } else if (due == std::numeric_limits<int64_t>::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_for(lock, std::chrono::nanoseconds(due - now));
    }
  }
}

Status PluginNetwork::CheckStatus(const ConfList& list) {
  RETURN_IF_ERROR(CheckInstalled(list));
  if (!VersionAtLeast(list.version, "1.1.0")) return absl::OkStatus();
  // One asks, the others wait for its answer: plugins are slow, and Status comes often.
  const std::lock_guard<std::mutex> lock(status_mutex_);
  const std::string text = list.json.dump();
  if (text == status_of_ && MonotonicNanos() < status_until_) return status_;
  status_of_ = text;
  status_ = absl::OkStatus();
  const int timeout_ms = std::min(options_.timeout_ms, kStatusTimeoutMs);
  for (const ConfPlugin& plugin : list.plugins) {
    const StoredAttachment nobody;
    const Status status =
        Call("STATUS", plugin, nobody, PluginConfig(list, plugin, nobody, Json()), timeout_ms)
            .status();
    if (!status.ok() && status_.ok()) status_ = status;
  }
  status_until_ = MonotonicNanos() + kStatusNanos;
  return status_;
}

bool PluginNetwork::WaitUntilIdle(int timeout_ms) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                           [&] { return pending_.empty() && !gc_ && !working_; });
}

}  // namespace crisp::cni
