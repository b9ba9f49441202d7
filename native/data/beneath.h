// Opening what lies below a folder, whoever changes that folder meanwhile.
#pragma once

#include <string>

/** A file or folder of this machine: `path` is names below `root`, joined by slashes; empty for `root` itself. */
struct Place {
  std::string root;
  std::string path;
};

/** openat(2) for reading; a symlink at the name itself is not followed, and nothing is waited for. -1, with errno. */
int OpenAt(int folder, const char* name, int flags);

/**
 * Opens a place for reading. No symlink below `root` is followed, and nothing outside of it is
 * reached, even when folders and links change places meanwhile. `flags` are for the place itself.
 * Throws SystemError.
 */
int OpenPlace(const Place& place, int flags);
