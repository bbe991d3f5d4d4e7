#include "runtime/stats/host_facts.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"

namespace crisp::runtime {
namespace {

constexpr char kHugePages[] = "/sys/kernel/mm/hugepages";

}  // namespace

FileSystemFacts FileSystemOf(const std::string& folder) {
  FileSystemFacts facts;
  struct stat info;
  struct statvfs fs;
  if (stat(folder.c_str(), &info) == 0)
    facts.device = DeviceName(major(info.st_dev), minor(info.st_dev));
  if (statvfs(folder.c_str(), &fs) == 0) {
    facts.bytes = fs.f_blocks * fs.f_frsize;
    facts.inodes = fs.f_files;
    facts.inodes_free = fs.f_ffree;
  }
  return facts;
}

std::string DeviceName(uint32_t major_number, uint32_t minor_number) {
  const std::string numbers = absl::StrCat(major_number, ":", minor_number);
  char target[PATH_MAX];
  const ssize_t n =
      readlink(absl::StrCat("/sys/dev/block/", numbers).c_str(), target, sizeof(target));
  if (n <= 0) return numbers;
  const absl::string_view path(target, static_cast<size_t>(n));
  return absl::StrCat("/dev/", path.substr(path.rfind('/') + 1));
}

std::string HugePageSizeOf(const std::string& sysfs_name) {
  absl::string_view name = sysfs_name;
  uint64_t kib = 0;
  if (!absl::ConsumePrefix(&name, "hugepages-") || !absl::ConsumeSuffix(&name, "kB") ||
      !absl::SimpleAtoi(name, &kib) || kib == 0)
    return "";
  if (kib % (1 << 20) == 0) return absl::StrCat(kib >> 20, "GB");
  if (kib % (1 << 10) == 0) return absl::StrCat(kib >> 10, "MB");
  return absl::StrCat(kib, "KB");
}

HugePages ReadHugePageSizes() {
  HugePages pages;
  const auto dir = OpenDir(kHugePages);
  if (!dir.ok()) return pages;
  const auto names = ListDir(dir->get());
  if (!names.ok()) return pages;
  for (const std::string& name : *names) {
    const std::string size = HugePageSizeOf(name);
    if (size.empty()) continue;
    pages.sizes.push_back(size);
    const auto count = ReadFileAt(dir->get(), name + "/nr_hugepages", 64);
    pages.any_reserved |= !count.ok() || !absl::StartsWith(*count, "0\n");
  }
  return pages;
}

std::optional<uint64_t> SoftFileLimit(pid_t pid) {
  rlimit limit;
  if (pid <= 0 || prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) != 0) return std::nullopt;
  return limit.rlim_cur;
}

}  // namespace crisp::runtime
