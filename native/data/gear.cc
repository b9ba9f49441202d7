#include "gear.h"

#include <algorithm>

#include "hash.h"

namespace {

// The top 22 bits of a word are zero exactly when it is below 2^42; the top 18, below 2^46.
constexpr uint64_t kBelowSmall = uint64_t{1} << (64 - 22);
constexpr uint64_t kBelowLarge = uint64_t{1} << (64 - 18);

struct Gear {
  uint64_t of[256];

  Gear() {
    for (unsigned k = 0; k < 256; k++) {
      const uint8_t byte = static_cast<uint8_t>(k);
      const Hash hash = HashOf(Domain::kGear, &byte, 1);
      of[k] = 0;
      for (unsigned i = 0; i < 8; i++) of[k] |= uint64_t{hash[i]} << (8 * i);
    }
  }
};

/** The first position in [at, stop) after whose byte the hash is below `below`, or `stop`. */
inline size_t Roll(const uint64_t* gear, const uint8_t* chunk, size_t at, size_t stop, uint64_t below,
                   uint64_t& rolling) {
  uint64_t h = rolling;
#define STEP(k)                       \
  h = (h << 1) + gear[chunk[at + k]]; \
  if (h < below) return rolling = h, at + k;
  for (; at + 8 <= stop; at += 8) {
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
  }
  for (; at < stop; at++) {
    STEP(0)
  }
#undef STEP
  rolling = h;
  return stop;
}

}  // namespace

size_t FindChunkEnd(const uint8_t* chunk, size_t length, size_t& at, uint64_t& rolling) {
  static const Gear gear;
  at = std::max(at, kChunkMin);
  const size_t average = std::min(length, kChunkAverage);
  if (at < average) {
    at = Roll(gear.of, chunk, at, average, kBelowSmall, rolling);
    if (at < average) return at;
  }
  const size_t max = std::min(length, kChunkMax);
  if (at < max) {
    at = Roll(gear.of, chunk, at, max, kBelowLarge, rolling);
    if (at < max) return at;
  }
  return length >= kChunkMax ? kChunkMax : 0;
}
