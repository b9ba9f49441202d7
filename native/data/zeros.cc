#include "zeros.h"

#include <cstring>

namespace {

constexpr size_t kBlock = 64;

/** Whether 64 bytes are all zero; a loop that compilers turn into vector code. */
bool BlockIsZero(const uint8_t* data) {
  uint64_t words[kBlock / 8];
  std::memcpy(words, data, kBlock);
  uint64_t any = 0;
  for (const uint64_t word : words) any |= word;
  return any == 0;
}

}  // namespace

size_t LeadingZeros(const uint8_t* data, size_t length) {
  size_t count = 0;
  while (length - count >= kBlock && BlockIsZero(data + count)) count += kBlock;
  while (count < length && data[count] == 0) count++;
  return count;
}

size_t TrailingZeros(const uint8_t* data, size_t length) {
  size_t rest = length;
  while (rest >= kBlock && BlockIsZero(data + rest - kBlock)) rest -= kBlock;
  while (rest > 0 && data[rest - 1] == 0) rest--;
  return length - rest;
}

ZeroRun FindZeroRun(const uint8_t* data, size_t length, size_t least) {
  // A run that begins at `begin` or later holds the byte at begin + least - 1, or begins
  // behind the last byte up to there that is not zero.
  size_t begin = 0;
  while (length - begin >= least) {
    const size_t zeros = TrailingZeros(data + begin, least);
    if (zeros == least) {
      const size_t end = begin + least;
      return {begin, end + LeadingZeros(data + end, length - end)};
    }
    begin += least - zeros;
  }
  return {length - TrailingZeros(data + begin, length - begin), length};
}
