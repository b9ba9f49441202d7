#include "blob_memory.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "../common/file_io.h"

namespace {

/** Blocks have multiples of this, so that they fit blobs of about the same length. */
constexpr size_t kStep = 128 << 10;
/** Free blocks beyond this are given back to the system. */
constexpr size_t kFreeBytesMax = 16 << 20;

}  // namespace

SharedBytes CopyOf(const uint8_t* bytes, size_t length) {
  const auto copy = std::make_shared<const std::vector<uint8_t>>(bytes, bytes + length);
  return {copy, copy->data(), length, length};
}

std::shared_ptr<const BlobMemory::Block> BlobMemory::Take(size_t length) {
  Block block{nullptr, (std::max<size_t>(length, 1) + kStep - 1) / kStep * kStep};
  if (!free_->Take(block.room, &block)) {
    block.bytes = static_cast<uint8_t*>(std::aligned_alloc(kDirectAlignment, block.room));
    if (block.bytes == nullptr) throw std::bad_alloc();
  }
  return std::shared_ptr<const Block>(new Block(block), [free = free_](const Block* taken) {
    free->Give(*taken);
    delete taken;
  });
}

BlobMemory::Free::~Free() {
  for (const Block& block : blocks) std::free(block.bytes);
}

/** The smallest block of at least `room` bytes that does not waste half of itself, the last used of these. */
bool BlobMemory::Free::Take(size_t room, Block* block) {
  std::lock_guard<std::mutex> lock(mutex);
  auto best = blocks.end();
  for (auto each = blocks.begin(); each != blocks.end(); ++each) {
    if (each->room >= room && each->room <= 2 * room && (best == blocks.end() || each->room <= best->room)) best = each;
  }
  if (best == blocks.end()) return false;
  *block = *best;
  bytes -= best->room;
  blocks.erase(best);
  return true;
}

void BlobMemory::Free::Give(Block block) {
  std::vector<Block> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex);
    blocks.push_back(block);
    for (bytes += block.room; bytes > kFreeBytesMax; blocks.erase(blocks.begin())) {
      bytes -= blocks.front().room;
      dropped.push_back(blocks.front());
    }
  }
  for (const Block& each : dropped) std::free(each.bytes);
}
