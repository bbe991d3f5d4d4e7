#include "imageservice/layers/layer_store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/strip.h"
#include "imageservice/content/digest.h"
#include "imageservice/layers/layer_info.h"
#include "runtime/base/files.h"
#include "runtime/base/id.h"
#include "runtime/base/pending.h"

namespace crisp::image {
namespace {

constexpr uint64_t kReserve = uint64_t{1} << 30;

// ext4 spreads the children of a "top" directory over the disk. Without it, a layer unpacked soon
// after another was deleted waits for inodes that ext4 refuses to reuse (libraries.md 2.3).
void MarkTopDirectory(int directory) {
  int flags = 0;
  if (ioctl(directory, FS_IOC_GETFLAGS, &flags) != 0) return;  // not ext4: nothing to gain
  flags |= FS_TOPDIR_FL;
  ioctl(directory, FS_IOC_SETFLAGS, &flags);
}

// Layers never fill the disk to the last byte: 5 % of it stays free, at most 1 GiB.
uint64_t ReserveOf(int directory) {
  struct statfs info;
  if (fstatfs(directory, &info) != 0) return 0;
  const uint64_t total = static_cast<uint64_t>(info.f_blocks) * static_cast<uint64_t>(info.f_bsize);
  return std::min(kReserve, total / 20);
}

}  // namespace

Layer::~Layer() {
  if (const auto store = store_.lock()) store->Release(diff_id_, generation_);
}

StatusOr<std::shared_ptr<LayerStore>> LayerStore::Open(const std::string& root,
                                                       const std::string& unpacker) {
  auto store = std::shared_ptr<LayerStore>(new LayerStore());
  store->path_ = absl::StrCat(root, "/layers");
  RETURN_IF_ERROR(MakeDirs(store->path_, 0700));
  ASSIGN_OR_RETURN(store->directory_, OpenDir(store->path_));
  MarkTopDirectory(store->directory_.get());
  store->unpacker_.Reset(open(unpacker.c_str(), O_PATH | O_CLOEXEC));
  if (!store->unpacker_.valid()) return ErrnoStatus(errno, "open unpacker ", unpacker);
  ASSIGN_OR_RETURN(store->trash_, Trash::Open(absl::StrCat(root, "/trash")));
  return store;
}

void LayerStore::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
}

LayerPtr LayerStore::Register(const std::string& diff_id, const LayerInfo& info) {
  const uint64_t generation = ++generations_;
  auto layer = std::make_shared<const Layer>(
      weak_from_this(), diff_id, absl::StrCat(path_, "/", HexOf(diff_id), "/fs"), info, generation);
  known_[diff_id] = Known{layer, info, generation};
  return layer;
}

// A layer whose last holder is just going is taken over: its Release sees a newer generation.
LayerPtr LayerStore::Lookup(const std::string& diff_id) {
  const auto found = known_.find(diff_id);
  if (found == known_.end()) return nullptr;
  if (LayerPtr layer = found->second.layer.lock()) return layer;
  return Register(diff_id, found->second.info);
}

void LayerStore::Release(const std::string& diff_id, uint64_t generation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = known_.find(diff_id);
  if (closed_ || found == known_.end() || found->second.generation != generation) return;
  known_.erase(found);
  // If the rename fails the directory is unknown from now on: dropped by the next Open, or
  // replaced when the layer is unpacked again.
  trash_->Throw(directory_.get(), HexOf(diff_id)).IgnoreError();
}

StatusOr<LayerPtr> LayerStore::Adopt(const std::string& diff_id, bool deep) {
  const std::string name = HexOf(diff_id);
  ASSIGN_OR_RETURN(const LayerInfo info, ReadLayerInfo(directory_.get(), name));
  if (deep) RETURN_IF_ERROR(CheckLayerTree(directory_.get(), name, info));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (LayerPtr layer = Lookup(diff_id)) return layer;
  return Register(diff_id, info);
}

StatusOr<LayerPtr> LayerStore::AdoptPath(const std::string& path) {
  constexpr size_t kHex = 64;
  absl::string_view hex = path;
  if (!absl::ConsumePrefix(&hex, path_ + "/") || !absl::ConsumeSuffix(&hex, "/fs") ||
      hex.size() != kHex || hex.find_first_not_of("0123456789abcdef") != hex.npos) {
    return absl::NotFoundError(absl::StrCat(path, " is no layer of ", path_));
  }
  return Adopt(absl::StrCat("sha256:", hex), /*deep=*/false);
}

Status LayerStore::DropUnknown() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(directory_.get()));
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const std::string& name : names) {
    if (known_.count(absl::StrCat("sha256:", name)) != 0) continue;
    RETURN_IF_ERROR(trash_->Throw(directory_.get(), name));
  }
  return absl::OkStatus();
}

StatusOr<LayerPtr> LayerStore::Ensure(const LayerSource& source,
                                      const std::function<bool()>& cancelled) {
  const std::string& diff_id = source.request.diff_id;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (LayerPtr layer = Lookup(diff_id)) return layer;
    if (unpacking_.insert(diff_id).second) break;
    // Somebody else unpacks it. If that fails, it is our turn, with our own source.
    changed_.wait_for(lock, std::chrono::milliseconds(50));
    lock.unlock();
    if (cancelled()) return absl::CancelledError("cancelled");
    lock.lock();
  }
  lock.unlock();
  StatusOr<LayerPtr> result = Unpack(source, cancelled);
  lock.lock();
  unpacking_.erase(diff_id);
  changed_.notify_all();
  return result;
}

StatusOr<LayerPtr> LayerStore::Unpack(const LayerSource& source,
                                      const std::function<bool()>& cancelled) {
  const std::string name = absl::StrCat("new-", RandomHex(32));
  Pending half_made([&] { trash_->Throw(directory_.get(), name).IgnoreError(); });
  ASSIGN_OR_RETURN(const LayerInfo info, UnpackInto(name, source, cancelled));
  const std::string hex = HexOf(source.request.diff_id);
  const std::lock_guard<std::mutex> lock(mutex_);
  RETURN_IF_ERROR(trash_->Throw(directory_.get(), hex));  // an unknown leftover, if any
  if (renameat(directory_.get(), name.c_str(), directory_.get(), hex.c_str()) != 0) {
    return ErrnoStatus(errno, "rename layer ", hex);
  }
  half_made.Commit();
  return Register(source.request.diff_id, info);
}

StatusOr<LayerInfo> LayerStore::UnpackInto(const std::string& name, const LayerSource& source,
                                           const std::function<bool()>& cancelled) {
  if (mkdirat(directory_.get(), name.c_str(), 0700) != 0) return ErrnoStatus(errno, "mkdir layer");
  const std::string root = absl::StrCat(name, "/fs");
  if (mkdirat(directory_.get(), root.c_str(), 0755) != 0) return ErrnoStatus(errno, "mkdir layer");
  const UniqueFd fs(
      openat(directory_.get(), root.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fs.valid()) return ErrnoStatus(errno, "open layer");
  if (fchmodat(directory_.get(), root.c_str(), 0755, 0) != 0) {  // whatever the umask is
    return ErrnoStatus(errno, "chmod layer");
  }
  UnpackRequest request = source.request;
  request.reserve = ReserveOf(directory_.get());
  ASSIGN_OR_RETURN(const std::unique_ptr<UnpackProcess> process,
                   UnpackProcess::Start(unpacker_.get(), fs.get(), request));
  bool fed = true;
  const Status streamed = source.stream([&](absl::string_view bytes) {
    const Status status = process->Feed(bytes, cancelled);
    fed = status.ok();
    return status;
  });
  // A process that stopped reading has a verdict, which says more than EPIPE.
  if (!streamed.ok() && (fed || ErrnoOf(streamed) != EPIPE)) return streamed;
  ASSIGN_OR_RETURN(const UnpackCounters counters, process->Finish(cancelled));
  ASSIGN_OR_RETURN(LayerInfo info, MeasureLayer(directory_.get(), name));
  info.opaque_root = counters.opaque_root;
  RETURN_IF_ERROR(WriteLayerInfo(directory_.get(), name, info));
  return info;
}

Status LayerStore::Sync() {
  if (syncfs(directory_.get()) != 0) return ErrnoStatus(errno, "syncfs of the layers");
  return absl::OkStatus();
}

LayerInfo LayerStore::Usage() {
  const std::lock_guard<std::mutex> lock(mutex_);
  LayerInfo sum;
  for (const auto& [diff_id, known] : known_) {
    sum.bytes += known.info.bytes;
    sum.inodes += known.info.inodes;
  }
  return sum;
}

}  // namespace crisp::image
