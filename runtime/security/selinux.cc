#include "runtime/security/selinux.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "runtime/base/files.h"

namespace crisp::runtime {
namespace {

constexpr char kSelinuxFs[] = "/sys/fs/selinux";
constexpr char kConfig[] = "/etc/selinux/config";
constexpr size_t kMaxFile = 64 << 10;

// Without a policy every process is "kernel", and no label means anything.
bool LookAtKernel() {
  struct statfs info;
  if (statfs(kSelinuxFs, &info) != 0 || info.f_type != SELINUX_MAGIC) return false;
  return absl::StrContains(ReadFile("/proc/self/attr/current", 4096).value_or(""), ":");
}

std::optional<SelinuxLabel> ParseLabel(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 3));
  if (parts.size() < 3) return std::nullopt;
  for (const std::string& part : parts) {
    if (part.empty()) return std::nullopt;
  }
  return SelinuxLabel{parts[0], parts[1], parts[2], parts.size() > 3 ? parts[3] : ""};
}

// SELINUXTYPE names the folder of the installed policy.
std::string PolicyName() {
  const std::string text = ReadFile(kConfig, kMaxFile).value_or("");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "SELINUXTYPE=")) continue;
    const std::string name(absl::StripAsciiWhitespace(line));
    if (!name.empty() && name[0] != '.' && name.find('/') == std::string::npos) return name;
  }
  return "targeted";
}

SelinuxDefaults LookAtPolicy() {
  SelinuxDefaults defaults{{"system_u", "system_r", "container_t", "s0"},
                           {"system_u", "object_r", "container_file_t", "s0"}};
  const std::string path = absl::StrCat("/etc/selinux/", PolicyName(), "/contexts/lxc_contexts");
  ReadLxcContexts(ReadFile(path, kMaxFile).value_or(""), &defaults);
  return defaults;
}

}  // namespace

std::string SelinuxLabel::Text() const {
  const std::string text = absl::StrCat(user, ":", role, ":", type);
  return level.empty() ? text : absl::StrCat(text, ":", level);
}

bool SelinuxEnabled() {
  static const bool enabled = LookAtKernel();
  return enabled;
}

bool SelinuxHasLevels() {
  static const bool has = ReadFile(absl::StrCat(kSelinuxFs, "/mls"), 16).value_or("0") == "1";
  return has;
}

std::string SelinuxMode() {
  if (!SelinuxEnabled()) return "disabled";
  const std::string text = ReadFile(absl::StrCat(kSelinuxFs, "/enforce"), 16).value_or("");
  return text == "1" ? "enforcing" : "permissive";
}

// The kernel answers a write of a label it does not know with EINVAL.
Status CheckSelinuxLabel(const std::string& label) {
  const UniqueFd file(open("/sys/fs/selinux/context", O_RDWR | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "open selinuxfs");
  if (write(file.get(), label.c_str(), label.size() + 1) >= 0) return absl::OkStatus();
  if (errno != EINVAL) return ErrnoStatus(errno, "check SELinux label ", label);
  return absl::InvalidArgumentError("the loaded SELinux policy does not know this label");
}

const SelinuxDefaults& DefaultSelinuxLabels() {
  static const SelinuxDefaults* const defaults = new SelinuxDefaults(LookAtPolicy());
  return *defaults;
}

void ReadLxcContexts(absl::string_view text, SelinuxDefaults* defaults) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line.substr(0, line.find('#')));
    const std::pair<absl::string_view, absl::string_view> sides =
        absl::StrSplit(line, absl::MaxSplits('=', 1));
    absl::string_view value = absl::StripAsciiWhitespace(sides.second);
    if (!absl::ConsumePrefix(&value, "\"") || !absl::ConsumeSuffix(&value, "\"")) continue;
    const std::optional<SelinuxLabel> label = ParseLabel(value);
    if (!label) continue;
    const absl::string_view key = absl::StripAsciiWhitespace(sides.first);
    if (key == "process") defaults->process = *label;
    if (key == "file") defaults->file = *label;
  }
}

}  // namespace crisp::runtime
