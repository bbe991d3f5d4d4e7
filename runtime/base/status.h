// Errors of the comfortable world: absl::Status with the errno kept beside it.
// Messages read outermost to innermost, lower case, verb first, with the object:
//   "start container 3fa9: launch: step mount /proc: EPERM (Operation not permitted)"
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace crisp {

using absl::Status;
using absl::StatusOr;

// "EPERM (Operation not permitted)"
std::string ErrnoText(int err);

// Code by errno (ENOENT NOT_FOUND, ENOSPC/EMFILE/ENOMEM RESOURCE_EXHAUSTED, else INTERNAL ...),
// errno as payload.
Status ErrnoStatusText(int err, absl::string_view what);

template <typename... Parts>
Status ErrnoStatus(int err, const Parts&... parts) {
  return ErrnoStatusText(err, absl::StrCat(parts...));
}

// The errno an error came from, 0 if none is known.
int ErrnoOf(const Status& status);

// Puts "what: " before the message; code and payload stay.
Status AnnotateText(const Status& status, absl::string_view what);

template <typename... Parts>
Status Annotate(const Status& status, const Parts&... parts) {
  return AnnotateText(status, absl::StrCat(parts...));
}

// A refused request: names the field, the value and the reason.
Status InvalidField(absl::string_view field, absl::string_view value, absl::string_view reason);

}  // namespace crisp

#define CRISP_CONCAT_(a, b) a##b
#define CRISP_CONCAT(a, b) CRISP_CONCAT_(a, b)

#define RETURN_IF_ERROR(expr)                    \
  do {                                           \
    ::absl::Status crisp_status = (expr);        \
    if (!crisp_status.ok()) return crisp_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_(CRISP_CONCAT(crisp_result_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_(result, lhs, expr)           \
  auto result = (expr);                                \
  if (!result.ok()) return std::move(result).status(); \
  lhs = std::move(result).value()
