// Large files written once, past the page cache.
#pragma once

#include <string>
#include <vector>

#include "arguments.h"

/**
 * Makes a file (which must not exist, mode 0444) of these parts, one after another; they are on the
 * disk when it returns. Nothing of them stays in the page cache, where that can be had: the copy
 * there costs more than the disk, and pushes out what somebody reads. Throws SystemError; the file
 * may be there then.
 */
void WriteNewFile(const std::string& path, const std::vector<Bytes>& parts);
