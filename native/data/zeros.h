// Finding runs of zero bytes.
#pragma once

#include <cstddef>
#include <cstdint>

/** How many zero bytes `data` begins with. */
size_t LeadingZeros(const uint8_t* data, size_t length);

/** How many zero bytes `data` ends with. */
size_t TrailingZeros(const uint8_t* data, size_t length);

struct ZeroRun {
  size_t begin;
  size_t end;
};

/**
 * The first run of at least `least` zeros, whole as far as `data` goes; without one, the
 * zeros at the end of `data`, however few. Where there are no zeros it looks at one byte in
 * `least`.
 */
ZeroRun FindZeroRun(const uint8_t* data, size_t length, size_t least);
