// Large files written once, past the page cache.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "arguments.h"

/** What a new file is given that it does not have by itself: for fchmod(2) and fchown(2). */
struct Given {
  std::optional<mode_t> mode;
  std::optional<gid_t> group;
};

/**
 * Makes a file (which must not exist, mode 0444) of these parts, one after another; they are on the
 * disk when it returns. Nothing of them stays in the page cache, where that can be had: the copy
 * there costs more than the disk, and pushes out what somebody reads. What is `given` and the system
 * refuses is left out. Returns a descriptor for the caller to close, with an exclusive flock(2) since
 * before the first byte, where there are locks. Throws SystemError; the file may be there then.
 */
int WriteNewFile(const std::string& path, const std::vector<Bytes>& parts, const Given& given);
