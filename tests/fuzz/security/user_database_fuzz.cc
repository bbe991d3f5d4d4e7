// The readers of an image's passwd and group: no crash, no id beyond the range, a match really
// matches. Input: a name up to the first newline, then the file.
#include <cstdlib>

#include "runtime/security/user_database.h"

namespace {

void Check(bool ok) {
  if (!ok) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace crisp::runtime;
  const absl::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t end = all.find('\n');
  if (end == absl::string_view::npos) return 0;
  const absl::string_view name = all.substr(0, end), text = all.substr(end + 1);
  if (const auto id = ParseId(name)) Check(*id <= kMaxId && !IsUserName(name));
  const auto by_name = FindPasswdByName(text, name);
  if (by_name.ok() && *by_name) Check((*by_name)->name == name && (*by_name)->uid <= kMaxId);
  const auto by_uid = FindPasswdByUid(text, 1000);
  if (by_uid.ok() && *by_uid) Check((*by_uid)->uid == 1000);
  const auto group = FindGroupByName(text, name);
  if (group.ok() && *group) Check(**group <= kMaxId);
  (void)GroupsOfMember(text, name);
  return 0;
}
