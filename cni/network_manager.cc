#include "cni/network_manager.h"

#include <linux/netlink.h>

#include <algorithm>

#include "cni/builtin/ports.h"
#include "runtime/base/files.h"
#include "runtime/base/pending.h"

namespace crisp::cni {
namespace {

constexpr char kNotReady[] = "NetworkPluginNotReady";
// Kubernetes tooling looks for these words.
constexpr char kNotInitialized[] = "Network plugin returns error: cni plugin not initialized";
// How long an Add waits for an address that is just being released.
constexpr int kAddressWaitMs = 2000;

// FNV-1a: the tag must be the same in every version of crisp.
std::string TagOf(const std::string& state_dir) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : state_dir) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

std::vector<std::string> Texts(const std::vector<IpAddr>& ips) {
  std::vector<std::string> texts;
  for (const IpAddr& ip : ips) texts.push_back(ip.ToString());
  return texts;
}

}  // namespace

StatusOr<std::unique_ptr<PodNetwork>> PodNetwork::Open(const NetworkOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<NetworkManager> manager, NetworkManager::Open(options));
  return std::unique_ptr<PodNetwork>(std::move(manager));
}

NetworkManager::NetworkManager(const NetworkOptions& options)
    : options_(options),
      tag_(TagOf(options.state_dir)),
      source_(options.conf_dirs, [this](const ConfList& list) { return Usable(list); }) {}

StatusOr<std::unique_ptr<NetworkManager>> NetworkManager::Open(const NetworkOptions& options) {
  if (options.state_dir.empty() || options.state_dir[0] != '/')
    return InvalidField("state_dir", options.state_dir, "not an absolute path");
  if (options.builtin) {
    ASSIGN_OR_RETURN(const ConfList list,
                     BuiltinConfList(options.builtin_bridge, options.builtin_subnet));
    RETURN_IF_ERROR(ParseInProcess(list).status());
  }
  std::unique_ptr<NetworkManager> manager(new NetworkManager(options));
  RETURN_IF_ERROR(MakeDirs(options.state_dir, 0700));
  ASSIGN_OR_RETURN(manager->plugins_,
                   PluginNetwork::Open({options.bin_dirs, options.state_dir,
                                        options.plugin_timeout_ms, options.plugin_retry_ms}));
  RETURN_IF_ERROR(manager->FenceLeftovers());
  NetworkManager* raw = manager.get();
  ASSIGN_OR_RETURN(manager->worker_,
                   NetworkWorker::Start({&raw->ledger_, &raw->tables_, &raw->pool_, [raw] {
                                           const std::lock_guard<std::mutex> lock(raw->mutex_);
                                           return raw->swept_ ? raw->plan_.bridge : nullptr;
                                         }}));
  manager->ledger_.SetWake([worker = manager->worker_.get()] { worker->Wake(); });
  return manager;
}

NetworkManager::~NetworkManager() {
  worker_.reset();
  ledger_.SetWake([] {});
  // Dropping the pool's namespaces is enough: the kernel takes the cables with them.
  pool_.SwitchTo(nullptr, 0);
}

// Cables of an earlier daemon: nobody gets their addresses until Sweep knows which pods live.
Status NetworkManager::FenceLeftovers() {
  ASSIGN_OR_RETURN(NlSocket socket, NlSocket::Open(NETLINK_ROUTE));
  ASSIGN_OR_RETURN(const std::vector<Link> links, ListLinks(socket));
  for (const Link& link : links) {
    if (const auto ips = CableAddresses(link, tag_))
      ledger_.Fence(link.name, *ips, AddressLedger::Due::kNever);
  }
  return absl::OkStatus();
}

Status NetworkManager::Usable(const ConfList& list) const {
  ASSIGN_OR_RETURN(const std::optional<BridgeNetwork> network, ParseInProcess(list));
  return network ? absl::OkStatus() : plugins_->CheckInstalled(list);
}

NetworkManager::Plan NetworkManager::MakePlan(const ConfSource::Loaded& loaded) const {
  Plan plan;
  plan.generation = loaded.generation;
  std::shared_ptr<const ConfList> list = loaded.list;
  if (!list && !loaded.problem.empty()) {
    plan.problem = absl::StrCat(kNotInitialized, ": ", loaded.problem);
    return plan;
  }
  if (!list && options_.builtin) {
    StatusOr<ConfList> builtin = BuiltinConfList(options_.builtin_bridge, options_.builtin_subnet);
    if (builtin.ok()) list = std::make_shared<const ConfList>(std::move(*builtin));
  }
  if (!list) {
    plan.problem = kNotInitialized;
    return plan;
  }
  plan.json = list->json.dump();
  StatusOr<std::optional<BridgeNetwork>> network = ParseInProcess(*list);
  if (network.ok() && *network) {
    // Nobody else reserves addresses of the built-in network by files.
    if (!loaded.list) (*network)->data_dir.clear();
    auto* self = const_cast<NetworkManager*>(this);
    plan.bridge =
        std::make_shared<LiveNetwork>(std::move(**network), tag_, &self->ledger_, &self->tables_);
  } else {
    plan.plugins = list;
  }
  return plan;
}

std::optional<NetworkManager::Plan> NetworkManager::KnownPlan(const ConfSource::Loaded& loaded) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const bool known = !plan_.json.empty();
  if (known && plan_.generation == loaded.generation) return plan_;
  return std::nullopt;
}

NetworkManager::Plan NetworkManager::CurrentPlan() {
  if (const std::optional<Plan> known = KnownPlan(source_.Current())) return *known;
  const std::lock_guard<std::mutex> switching(switch_mutex_);
  const ConfSource::Loaded loaded = source_.Current();
  if (const std::optional<Plan> known = KnownPlan(loaded)) return *known;
  const Plan now = MakePlan(loaded);
  std::shared_ptr<LiveNetwork> old;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    plan_.generation = loaded.generation;
    // The same text again (touched, or copied anew): keep what is prepared.
    if (now.json == plan_.json && now.problem == plan_.problem) return plan_;
    old = plan_.bridge;
    plan_ = now;
  }
  const size_t wanted = static_cast<size_t>(std::max(options_.pool_size, 0));
  const size_t size = now.bridge ? std::min(wanted, now.bridge->Capacity() / 4) : 0;
  for (Attachment& attachment : pool_.SwitchTo(now.bridge.get(), size))
    if (old) old->Unmake(std::move(attachment));
  if (worker_) worker_->Wake();
  return now;
}

StatusOr<Attachment> NetworkManager::TakeAttachment(LiveNetwork& network, int netns) {
  if (netns >= 0) return network.Make(kAddressWaitMs, netns);
  if (std::optional<Attachment> ready = pool_.Take(&network)) {
    worker_->Wake();
    return std::move(*ready);
  }
  StatusOr<Attachment> made = network.Make(kAddressWaitMs);
  if (!absl::IsResourceExhausted(made.status())) return made;
  // The pool may have, or be about to have, the last address.
  if (std::optional<Attachment> ready = pool_.TakeComing(&network, kAddressWaitMs))
    return std::move(*ready);
  return made;
}

StatusOr<Lease> NetworkManager::AddToBridge(LiveNetwork& network, const PodIdentity& pod) {
  ASSIGN_OR_RETURN(Attachment attachment, TakeAttachment(network, pod.netns));
  Record record;
  record.network = network.config().name;
  record.bridge = network.config().bridge;
  record.link = attachment.cable.host_name;
  record.ips = attachment.ips;
  if (network.config().publish_ports) record.forwards = MakeForwards(pod.ports, attachment.ips);
  const Status published = tables_.Publish(TableName(record.bridge), record.forwards);
  if (!published.ok()) {
    network.Unmake(std::move(attachment));
    return published;
  }
  Lease lease{std::move(attachment.netns), Texts(record.ips), FormatRecord(record)};
  const std::lock_guard<std::mutex> lock(mutex_);
  leases_[pod.sandbox_id] = std::move(record);
  return lease;
}

StatusOr<Lease> NetworkManager::Add(const PodIdentity& pod) {
  RETURN_IF_ERROR(CheckPorts(pod.ports));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    swept_ = true;
    if (leases_.count(pod.sandbox_id) > 0)
      return absl::AlreadyExistsError(
          absl::StrCat("add network of pod ", pod.sandbox_id, ": it has one"));
  }
  const Plan plan = CurrentPlan();
  StatusOr<Lease> lease = absl::UnavailableError(plan.problem);
  if (plan.bridge) lease = AddToBridge(*plan.bridge, pod);
  if (plan.plugins) {
    lease = plugins_->Add(*plan.plugins, pod);
    if (lease.ok()) {
      ASSIGN_OR_RETURN(const Record record, ParseRecord(lease->record));
      const std::lock_guard<std::mutex> lock(mutex_);
      leases_[pod.sandbox_id] = record;
    }
  }
  if (!lease.ok()) return Annotate(lease.status(), "add network of pod ", pod.sandbox_id);
  return lease;
}

Status NetworkManager::Adopt(const std::string& sandbox_id, const std::string& text) {
  const StatusOr<Record> record = ParseRecord(text);
  if (!record.ok()) return Annotate(record.status(), "adopt network of pod ", sandbox_id);
  if (record->plugins) {
    RETURN_IF_ERROR(plugins_->Adopt(sandbox_id));
  } else {
    RETURN_IF_ERROR(
        Annotate(ledger_.Claim(record->link, record->ips), "adopt network of pod ", sandbox_id));
    tables_.Adopt(TableName(record->bridge), record->forwards);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  leases_[sandbox_id] = *record;
  return absl::OkStatus();
}

Status NetworkManager::ReleaseBridge(const Record& record) {
  const Status status = tables_.Withdraw(TableName(record.bridge), record.forwards);
  ledger_.Fence(record.link, record.ips, AddressLedger::Due::kAfterGrace);
  return status;
}

Status NetworkManager::Release(const std::string& sandbox_id, const std::string& text) {
  Record record;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto lease = leases_.find(sandbox_id);
    if (lease != leases_.end()) {
      record = std::move(lease->second);
      leases_.erase(lease);
    } else {
      // Released before. Its address may already be another pod's: the record alone proves nothing.
      const StatusOr<Record> parsed = ParseRecord(text);
      if (parsed.ok() && parsed->plugins) plugins_->Release(sandbox_id);
      return absl::OkStatus();
    }
  }
  if (record.plugins) {
    plugins_->Release(sandbox_id);
    return absl::OkStatus();
  }
  return Annotate(ReleaseBridge(record), "release network of pod ", sandbox_id);
}

Status NetworkManager::Sweep() {
  const Plan plan = CurrentPlan();
  ledger_.DueAll();
  plugins_->Sweep(plan.plugins);
  Status status;
  // Also replaces the table: what it held for pods that are gone goes with it.
  if (plan.bridge) status = plan.bridge->EnsureReady();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    swept_ = true;
  }
  worker_->Wake();
  return Annotate(status, "sweep network");
}

NetworkStatus NetworkManager::CurrentStatus() {
  const Plan plan = CurrentPlan();
  NetworkStatus status;
  status.conflist_json = plan.json;
  status.pool_missing = pool_.missing();
  Status problem = plan.problem.empty() ? absl::OkStatus() : absl::UnavailableError(plan.problem);
  if (plan.bridge) {
    problem = plan.bridge->last_status();
    // A network that failed tries again here, so that the node heals without a pod.
    if (!problem.ok()) problem = plan.bridge->EnsureReady();
    status.message = plan.bridge->warning();
  }
  if (plan.plugins) problem = plugins_->CheckStatus(*plan.plugins);
  status.ready = problem.ok();
  if (problem.ok()) return status;
  status.reason = kNotReady;
  status.message = plan.problem.empty()
                       ? absl::StrCat("Network plugin returns error: ", problem.message())
                       : plan.problem;
  return status;
}

bool NetworkManager::Quiesce(int timeout_ms) {
  return ledger_.WaitUntilNoFences(timeout_ms) && plugins_->WaitUntilIdle(timeout_ms);
}

}  // namespace crisp::cni
