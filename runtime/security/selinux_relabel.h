// A new SELinux label for a volume.
#pragma once

#include <string>

#include "runtime/base/status.h"

namespace crisp::runtime {

// Gives `label` to what the mount `tree` (O_PATH) shows and everything below it. Nothing outside of
// it is touched: no link is followed and no mount below is entered. Roots of the host's system
// (/, /etc, /usr, /home ...) are refused, by whatever name they came. A file system that cannot
// store labels is left as it is. `path` is for messages.
Status RelabelTree(int tree, const std::string& label, const std::string& path);

}  // namespace crisp::runtime
