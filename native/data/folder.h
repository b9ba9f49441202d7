// Listing a folder and reading its small files, many at a time. Names are bytes, not text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "beneath.h"
#include "hash.h"
#include "slab.h"

enum class Kind : uint8_t { kFile, kDirectory, kSymlink, kOther };

/** What is said about a file; all zero, and `error` its name, when that failed. */
struct Status {
  Kind kind = Kind::kOther;
  bool executable = false;
  uint64_t size = 0;
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  std::string error;
};

/** The start of a hash over all by which a change of a file shows; zero when that can't be relied on. */
using Fingerprint = std::array<uint8_t, 16>;

struct Listed {
  std::string name;
  Status status;
  Fingerprint fingerprint = {};
};

/**
 * lstat of all names in a folder, sorted as bytes. A symlink in place of the folder is not followed
 * (unless the path ends with a slash). Files that changed at `settled_ms` (since 1970) or later have no
 * fingerprint: they could change again without a new time. Throws SystemError for the folder itself.
 */
std::vector<Listed> ListFolder(const Place& folder, int64_t settled_ms);

/** A file's bytes in a slab that it shares with others. */
struct Read {
  Status status;
  Slab slab;
  size_t offset = 0;
  size_t length = 0;
  Hash hash = {};
};

/** Reads regular files of at most `bytes_max`. Throws SystemError for the folder itself. */
std::vector<Read> ReadFiles(const Place& folder, const std::vector<std::string>& names, uint64_t bytes_max);

/** What a symlink in a folder leads to. Throws SystemError. */
std::string ReadLink(const Place& folder, const std::string& name);
