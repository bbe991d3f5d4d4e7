// Owner, mode, extended attributes and time of one made entry, in the order that survives: chown
// clears setuid bits and file capabilities.
#pragma once

#include "imageservice/layers/outcome.h"
#include "imageservice/layers/tar_reader.h"

namespace crisp::image {

// True for attributes that a layer may set: user.* except overlay's own, and a well-formed
// security.capability. Names that would inject overlay or LSM state are dropped.
bool AllowedXattr(const std::string& name, const std::string& value);

Outcome SetFileMetadata(int file, const TarEntry& entry);
// By name below `directory`; never follows a link. `with_mode` is false for symbolic links.
Outcome SetNamedMetadata(int directory, const char* name, const TarEntry& entry, bool with_mode);

}  // namespace crisp::image
