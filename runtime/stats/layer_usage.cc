#include "runtime/stats/layer_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <vector>

#include "runtime/base/files.h"
#include "runtime/base/stages.h"

namespace crisp::runtime {
namespace {

constexpr size_t kMostDepth = 100;
constexpr size_t kMostLinks = 1 << 16;         // files with several links that are remembered
constexpr uint64_t kMostEntries = 20'000'000;  // of one walk in the background
constexpr uint64_t kEntriesAtOnce = 256;       // that the first call walks by itself
constexpr int64_t kAgeNanos = 10'000'000'000;  // a result is good for so long
constexpr int64_t kAgeFactor = 50;             // or for so many times what the walk took

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};
using Directory = std::unique_ptr<DIR, CloseDir>;

Directory OpenBelow(int parent, const char* name) {
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
  if (fd < 0) return nullptr;
  DIR* dir = fdopendir(fd);
  if (dir == nullptr) close(fd);
  return Directory(dir);
}

class Walk {
 public:
  Walk(uint64_t max_entries, const std::atomic<bool>* stop)
      : max_entries_(max_entries), stop_(stop) {}

  Status Run(const std::string& upper_dir) {
    Directory top = OpenBelow(AT_FDCWD, upper_dir.c_str());
    if (!top) return ErrnoStatus(errno, "open layer ", upper_dir);
    struct stat info;
    if (fstat(dirfd(top.get()), &info) != 0) return ErrnoStatus(errno, "stat ", upper_dir);
    device_ = info.st_dev;
    Add(info);
    stack_.push_back(std::move(top));
    while (!stack_.empty() && size_.complete) {
      if (stop_ != nullptr && *stop_) return absl::CancelledError("walk of a layer");
      Step();
    }
    return absl::OkStatus();
  }
  LayerSize size() const { return size_; }

 private:
  // One entry of the innermost directory. The container may change the tree meanwhile: what is
  // gone is skipped.
  void Step() {
    const dirent* entry = readdir(stack_.back().get());
    if (entry == nullptr) return stack_.pop_back();
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") return;
    const int parent = dirfd(stack_.back().get());
    struct stat info;
    if (fstatat(parent, entry->d_name, &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return;
    if (info.st_dev != device_) return;
    Add(info);
    if (!S_ISDIR(info.st_mode) || stack_.size() >= kMostDepth) return;
    if (Directory below = OpenBelow(parent, entry->d_name)) stack_.push_back(std::move(below));
  }

  void Add(const struct stat& info) {
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && links_.size() < kMostLinks &&
        !links_.insert(info.st_ino).second)
      return;
    size_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    if (++size_.inodes >= max_entries_) size_.complete = false;
  }

  const uint64_t max_entries_;
  const std::atomic<bool>* const stop_;
  dev_t device_ = 0;
  std::vector<Directory> stack_;
  std::set<ino_t> links_;
  LayerSize size_;
};

}  // namespace

StatusOr<LayerSize> WalkLayer(const std::string& upper_dir, uint64_t max_entries,
                              const std::atomic<bool>* stop) {
  Walk walk(max_entries, stop);
  RETURN_IF_ERROR(walk.Run(upper_dir));
  LayerSize size = walk.size();
  size.time_nanos = RealtimeNanos();
  return size;
}

LayerMeter::~LayerMeter() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::optional<LayerSize> LayerMeter::Size(const std::shared_ptr<LayerGauge>& gauge) {
  const std::lock_guard<std::mutex> lock(gauge->mu_);
  const int64_t now = MonotonicNanos();
  if (gauge->queued_ || now < gauge->next_nanos_) return gauge->size_;
  if (!gauge->size_) {
    const auto first = WalkLayer(gauge->upper_dir_, kEntriesAtOnce);
    gauge->next_nanos_ = now + kAgeNanos;
    if (!first.ok()) return std::nullopt;  // removed just now
    if (first->complete) return gauge->size_ = *first;
  }
  gauge->queued_ = true;
  Queue(gauge);
  return gauge->size_;
}

void LayerMeter::Queue(const std::shared_ptr<LayerGauge>& gauge) {
  const std::lock_guard<std::mutex> lock(mu_);
  queue_.push_back(gauge);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  changed_.notify_all();
}

void LayerMeter::Run() {
  std::unique_lock<std::mutex> lock(mu_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<LayerGauge> gauge = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const int64_t begin = MonotonicNanos();
    const auto size = WalkLayer(gauge->upper_dir_, kMostEntries, &stopping_);
    const int64_t end = MonotonicNanos();
    {
      const std::lock_guard<std::mutex> gauge_lock(gauge->mu_);
      if (size.ok()) gauge->size_ = *size;
      gauge->queued_ = false;
      gauge->next_nanos_ = end + std::max(kAgeNanos, (end - begin) * kAgeFactor);
    }
    lock.lock();
  }
}

}  // namespace crisp::runtime
