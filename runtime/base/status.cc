#include "runtime/base/status.h"

#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"

namespace crisp {
namespace {

constexpr char kErrnoPayload[] = "crisp/errno";

absl::StatusCode CodeOf(int err) {
  switch (err) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    case EPIPE:
    case ECONNREFUSED:
    case ECONNRESET:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

std::string ErrnoText(int err) {
  const char* name = strerrorname_np(err);
  const char* text = strerrordesc_np(err);
  return absl::StrCat(name ? name : absl::StrCat("errno ", err), " (", text ? text : "unknown",
                      ")");
}

Status ErrnoStatusText(int err, absl::string_view what) {
  Status status(CodeOf(err), absl::StrCat(what, ": ", ErrnoText(err)));
  status.SetPayload(kErrnoPayload, absl::Cord(absl::StrCat(err)));
  return status;
}

int ErrnoOf(const Status& status) {
  const auto payload = status.GetPayload(kErrnoPayload);
  int err = 0;
  if (payload && absl::SimpleAtoi(std::string(*payload), &err)) return err;
  return 0;
}

Status AnnotateText(const Status& status, absl::string_view what) {
  if (status.ok()) return status;
  Status annotated(status.code(), absl::StrCat(what, ": ", status.message()));
  if (const auto payload = status.GetPayload(kErrnoPayload))
    annotated.SetPayload(kErrnoPayload, *payload);
  return annotated;
}

Status InvalidField(absl::string_view field, absl::string_view value, absl::string_view reason) {
  // A value can be large and hostile: cut it and escape it before it reaches a log or a terminal.
  constexpr size_t kShown = 128;
  std::string shown = absl::CHexEscape(value.substr(0, kShown));
  if (value.size() > kShown) shown += "...";
  return absl::InvalidArgumentError(absl::StrCat(field, ": \"", shown, "\": ", reason));
}

}  // namespace crisp
