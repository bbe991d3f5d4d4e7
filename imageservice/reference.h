// Image references: "busybox", "reg:5000/a/b:tag@sha256:...". Grammar: distribution reference
// format; familiar names are completed as every other runtime does.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "runtime/base/status.h"

namespace crisp::image {

struct Reference {
  std::string registry;    // "docker.io", "127.0.0.1:5000"
  std::string repository;  // "library/busybox"
  std::string tag;         // empty when only a digest was given
  std::string digest;      // "sha256:<hex>" or empty

  std::string Name() const { return absl::StrCat(registry, "/", repository); }
  std::string Tagged() const { return absl::StrCat(Name(), ":", tag); }
  std::string Digested() const { return absl::StrCat(Name(), "@", digest); }
  // What identifies the image: the digest where there is one (a tag beside it is only a label).
  std::string Text() const { return digest.empty() ? Tagged() : Digested(); }
};

// INVALID_ARGUMENT names the field "image". Neither tag nor digest: "latest".
StatusOr<Reference> ParseReference(absl::string_view text);

}  // namespace crisp::image
