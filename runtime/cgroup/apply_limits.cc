#include "runtime/cgroup/apply_limits.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "runtime/base/files.h"
#include "runtime/cgroup/path.h"
#include "runtime/sys/retry.h"

namespace crisp::runtime {
namespace {

struct Done {
  int root;
  std::string file, old;
};

// Last first: the order in which the kernel took them is right for the way back too.
void PutBack(const std::vector<Done>& done) {
  for (size_t i = done.size(); i-- > 0;) {
    (void)WriteControlFile(done[i].root, done[i].file, done[i].old);
  }
}

// Remembers the values it replaced and puts them back unless they are taken over.
class Writer {
 public:
  Writer(const HostState& state, const std::string& path) : state_(state), path_(path) {}
  ~Writer() { PutBack(done_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  std::vector<Done> TakeDone() { return std::exchange(done_, {}); }

  Status Write(const LimitWrite& write) {
    const Hierarchy* h = state_.ForController(write.controller);
    if (!h) return ErrnoStatus(ENOENT, "find controller ", write.controller);
    const std::string file = Below(path_, write.file);
    UniqueFd fd(openat(h->root.get(), file.c_str(), O_RDWR | O_CLOEXEC));
    // memory.reclaim and its kind cannot be read, so there is nothing to put back.
    const bool readable = fd.valid() || errno != EACCES;
    if (!readable) fd.Reset(openat(h->root.get(), file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT && write.optional) return absl::OkStatus();
      return ErrnoStatus(errno, "open ", h->mount_point, "/", file);
    }
    std::string old;
    if (readable) {
      ASSIGN_OR_RETURN(old, ReadOld(fd.get(), file));
    }
    const std::string value = ValueOf(write, old);
    if (readable && old == value) return absl::OkStatus();
    const ssize_t n = sys::Retry([&] { return pwrite(fd.get(), value.data(), value.size(), 0); });
    if (n < 0) return ErrnoStatus(errno, "write \"", value, "\" to ", h->mount_point, "/", file);
    if (readable) done_.push_back({h->root.get(), file, old});
    return absl::OkStatus();
  }

 private:
  static StatusOr<std::string> ReadOld(int fd, const std::string& file) {
    char buffer[4096];
    const ssize_t n = sys::Retry([&] { return pread(fd, buffer, sizeof(buffer), 0); });
    if (n < 0) return ErrnoStatus(errno, "read ", file);
    return std::string(
        absl::StripAsciiWhitespace(absl::string_view(buffer, static_cast<size_t>(n))));
  }

  static std::string ValueOf(const LimitWrite& write, const std::string& old) {
    if (!write.keep_first_word) return write.value;
    return absl::StrCat(old.substr(0, old.find(' ')), " ", write.value);
  }

  const HostState& state_;
  const std::string& path_;
  std::vector<Done> done_;
};

}  // namespace

StatusOr<Pending> ApplyLimits(std::shared_ptr<const HostState> state, const std::string& path,
                              const std::vector<LimitWrite>& writes) {
  Writer writer(*state, path);
  for (size_t i = 0; i < writes.size(); ++i) {
    Status status = writer.Write(writes[i]);
    if (ErrnoOf(status) == EINVAL && writes[i].swappable) {
      // Raised above the old partner value (memory over memsw, period under the parent's quota).
      RETURN_IF_ERROR(writer.Write(writes[i + 1]));
      status = writer.Write(writes[i]);
    }
    RETURN_IF_ERROR(status);
  }
  return Pending([state = std::move(state), done = writer.TakeDone()] { PutBack(done); });
}

}  // namespace crisp::runtime
