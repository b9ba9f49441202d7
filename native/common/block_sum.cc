#include "block_sum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint32_t SumOf(const uint8_t* bytes, size_t length) {
  const uint32_t sum = static_cast<uint32_t>(XXH3_64bits(bytes, length)) & ~kPart;
  return sum == 0 ? 1 : sum;
}

uint32_t PartSumOf(const uint8_t* bytes, size_t length, bool second) {
  const uint32_t sum = static_cast<uint32_t>(XXH3_64bits(bytes, length)) & (kSecond - 1);
  return sum | kPart | (second ? kSecond : 0);
}
