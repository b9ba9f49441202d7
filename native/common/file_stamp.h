// What a file looks like from outside. Whoever writes to a file, or swaps it, changes this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/** Number, birth (2), size, blocks, times of the last write (2) and the last change (2). */
using FileStamp = std::array<uint64_t, 9>;

/** The parts of a stamp that tell which file it is. A later file with the number of a removed one has another birth. */
constexpr size_t kIdentityParts = 3;
using FileIdentity = std::array<uint64_t, kIdentityParts>;

/** These throw std::system_error. */
FileStamp StampOf(int fd);
FileIdentity IdentityOf(int fd);
