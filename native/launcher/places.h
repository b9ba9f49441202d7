// Places in a sandbox that is being made, and mounts at them. All functions throw Failure.
#pragma once
#include <linux/openat2.h>

#include <cstdint>
#include <string>

#include "files.h"

namespace launcher {

/** Throws what errno says of `what` unless `good`. */
void Check(bool good, const std::string& what);

/** A path that leads to what an open descriptor is of. */
std::string PathOf(const Fd& fd);

/** A path of the sandbox, whose symlinks are followed there and not on the machine; relative paths may start with a slash. */
Fd OpenInSandbox(const std::string& path, uint64_t resolve = RESOLVE_IN_ROOT);

bool IsFolder(const Fd& fd);

/** False, with errno set, when that fails. */
bool MakeReadOnly(int fd, const char* path, bool recursive);

/** Shows what lies at `from`, with what is mounted below it, at a place of the sandbox. */
void Show(const std::string& from, const Fd& to, bool read_only);

void MountTmpfs(const std::string& at, const char* options);

}  // namespace launcher
