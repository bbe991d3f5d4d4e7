// Mount points inside the final root.
#pragma once

#include "runtime/init/child.h"

namespace crisp::init {

// O_PATH descriptor of `path` below the container's root, links followed inside it, magic links
// refused. A missing target is made, its parents too: a directory or an empty file.
// -1 with errno.
int OpenOrMakeTarget(Child& child, const char* path, bool directory);

// O_PATH descriptor of an existing path, -1 with errno.
int OpenTarget(Child& child, const char* path);

// O_PATH descriptor of an existing `path` in /proc or /sys, through no link at all: so it lies in
// the trees that were mounted there, whatever the image holds. -1 with errno.
int OpenKernelTarget(Child& child, const char* path);

// O_PATH descriptor of `name` directly below the root, made if missing; a link is refused: an image
// with /proc -> /x would have the masks and the procfs elsewhere (S2).
int OpenRootDirectory(Child& child, const char* name);

// Whether `fd` lies in procfs or sysfs.
bool IsKernelFilesystem(int fd);

}  // namespace crisp::init
