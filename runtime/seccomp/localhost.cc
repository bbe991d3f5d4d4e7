// Users' profiles: read at every use, because the file may change; compiled once for each content.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>

#include "runtime/base/files.h"
#include "runtime/seccomp/filter.h"
#include "runtime/seccomp/filter_cache.h"
#include "runtime/seccomp/json_profile.h"

namespace crisp::runtime {
namespace {

// The path is the kubelet's word and links on it are followed; but a directory, FIFO or device is
// a mistake that must not block (S25).
StatusOr<std::string> ReadProfile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return ErrnoStatus(errno, "open");
  struct stat info;
  if (fstat(file.get(), &info) != 0) return ErrnoStatus(errno, "stat");
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a regular file");
  if (static_cast<uint64_t>(info.st_size) > kMaxProfileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(info.st_size, " bytes, at most ", kMaxProfileBytes, " are taken"));
  }
  return ReadFile(absl::StrCat("/proc/self/fd/", file.get()), kMaxProfileBytes);
}

ProfileContext ContextOf(uint64_t capabilities) {
  ProfileContext context{.capabilities = capabilities};
  utsname kernel;
  if (uname(&kernel) == 0)
    (void)sscanf(kernel.release, "%d.%d", &context.kernel_major, &context.kernel_minor);
  return context;
}

}  // namespace

StatusOr<SeccompFilter> SeccompFilterOfText(const std::string& text, uint64_t capabilities) {
  using Key = std::pair<std::string, uint64_t>;  // the whole text: no collision to think about
  static auto* cache = new FilterCache<Key>;
  const Key key(text, capabilities);
  if (SeccompFilter known = cache->Find(key)) return known;
  ASSIGN_OR_RETURN(JsonProfile parsed, ParseSeccompProfile(text, ContextOf(capabilities)));
  ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, CompileForKernel(std::move(parsed.profile)));
  auto program = std::make_shared<SeccompProgram>();
  program->digest = absl::StrFormat("localhost/%x/%s", capabilities, Fnv1a(bytes));
  program->bytes = std::move(bytes);
  program->flags = parsed.flags;
  program->source = text;
  program->unknown_calls = std::move(parsed.unknown_calls);
  return cache->Insert(key, std::move(program));
}

StatusOr<SeccompFilter> LocalhostSeccompFilter(const std::string& path, uint64_t capabilities) {
  const auto text = ReadProfile(path);
  RETURN_IF_ERROR(Annotate(text.status(), "seccomp profile ", path));
  auto filter = SeccompFilterOfText(*text, capabilities);
  RETURN_IF_ERROR(Annotate(filter.status(), "seccomp profile ", path));
  return filter;
}

}  // namespace crisp::runtime
