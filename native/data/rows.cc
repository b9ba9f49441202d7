#include "rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

constexpr size_t kKey = 32;

/** A row's number and the start of its key, big-endian, which decides nearly always. */
struct Start {
  uint64_t key;
  uint32_t row;
};

uint64_t StartOf(const uint8_t* row) {
  uint64_t key = 0;
  for (size_t i = 0; i < 8; i++) key = key << 8 | row[i];
  return key;
}

}  // namespace

size_t SortRows(uint8_t* rows, size_t count, size_t length) {
  std::vector<Start> starts(count);
  for (size_t i = 0; i < count; i++) starts[i] = {StartOf(rows + i * length), static_cast<uint32_t>(i)};
  std::sort(starts.begin(), starts.end(), [&](const Start& a, const Start& b) {
    if (a.key != b.key) return a.key < b.key;
    const int order = std::memcmp(rows + a.row * length, rows + b.row * length, kKey);
    return order != 0 ? order < 0 : a.row < b.row;
  });
  // Each cycle of the permutation with one row aside: a second copy of all rows may be too much.
  std::vector<uint8_t> aside(length);
  for (size_t first = 0; first < count; first++) {
    if (starts[first].row == first) continue;
    std::memcpy(aside.data(), rows + first * length, length);
    size_t to = first;
    for (size_t from = starts[to].row; from != first; from = starts[to].row) {
      std::memcpy(rows + to * length, rows + from * length, length);
      starts[to].row = static_cast<uint32_t>(to);
      to = from;
    }
    std::memcpy(rows + to * length, aside.data(), length);
    starts[to].row = static_cast<uint32_t>(to);
  }
  size_t left = 0;
  for (size_t row = 0; row < count; row++) {
    if (left > 0 && std::memcmp(rows + (left - 1) * length, rows + row * length, kKey) == 0) continue;
    if (left != row) std::memcpy(rows + left * length, rows + row * length, length);
    left++;
  }
  return left;
}
