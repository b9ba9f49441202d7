// BLAKE3-256 in the domains of the stored format.
#pragma once

#include <blake3.h>

#include <array>
#include <cstddef>
#include <cstdint>

enum class Domain { kPlain, kGear, kNode, kContent, kReference };

using Hash = std::array<uint8_t, BLAKE3_OUT_LEN>;

/** A hasher at the start of an input in `domain`. */
blake3_hasher StartHash(Domain domain);

/** The hash of what the hasher was fed. */
Hash FinishHash(const blake3_hasher& hasher);

/** The hash of `length` bytes at `data`. */
Hash HashOf(Domain domain, const uint8_t* data, size_t length);
