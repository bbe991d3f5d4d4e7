// Small checks shared by the translations: each refusal names field, value and reason.
#pragma once

#include <string>

#include "cri/api/cri.h"
#include "runtime/base/status.h"

namespace crisp::cri {

// Limits of docs/design/rpc.md; a request within them costs bounded memory and time.
inline constexpr size_t kMaxNameBytes = 253;
inline constexpr size_t kMaxHostnameBytes = 64;
inline constexpr size_t kMaxPathBytes = 4095;
inline constexpr size_t kMaxComponentBytes = 255;
inline constexpr size_t kMaxMetaBytes = 256 << 10;  // labels and annotations together
inline constexpr size_t kMaxEnvBytes = 1 << 20;
inline constexpr size_t kMaxArgBytes = 128 << 10;
inline constexpr size_t kMaxArgsBytes = 2 << 20;
inline constexpr int kMaxMounts = 1024;
inline constexpr int kMaxDevices = 1024;
inline constexpr int kMaxSysctls = 256;

// Present, not over-long, no NUL, no "/" (names become parts of keys, never of paths).
Status CheckName(const std::string& field, const std::string& value, bool may_be_empty);

// Absolute, no NUL, lengths within the kernel's.
Status CheckAbsolutePath(const std::string& field, const std::string& value);

// "/a//b/./c/" -> "/a/b/c"; ".." is refused, not resolved: what it means depends on links.
StatusOr<std::string> CleanPath(const std::string& field, const std::string& value);

Status CheckMeta(const google::protobuf::Map<std::string, std::string>& labels,
                 const google::protobuf::Map<std::string, std::string>& annotations);

// min <= value <= max, else INVALID_ARGUMENT.
Status CheckRange(const std::string& field, int64_t value, int64_t min, int64_t max);

// Is `path` the directory `top` or below it?
bool IsBelow(const std::string& path, const std::string& top);

}  // namespace crisp::cri
