// Memory for blobs that are read from the disk, aligned as reads past the page cache want it. A block
// that nobody holds any more is used again, as fresh pages are dear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

/** Bytes that nobody changes, with the memory that they lie in. */
struct SharedBytes {
  std::shared_ptr<const void> memory;
  const uint8_t* data = nullptr;
  size_t length = 0;
  /** Bytes of memory that they keep. */
  size_t room = 0;

  explicit operator bool() const { return memory != nullptr; }
};

/** A copy in memory of its own. */
SharedBytes CopyOf(const uint8_t* bytes, size_t length);

class BlobMemory {
 public:
  struct Block {
    uint8_t* bytes;
    size_t room;
  };

  BlobMemory() : free_(std::make_shared<Free>()) {}

  /** A block of at least so many bytes, which comes back here when the last who holds it lets go. Throws std::bad_alloc. */
  std::shared_ptr<const Block> Take(size_t length);

 private:
  /** Outlives the last block. */
  struct Free {
    std::mutex mutex;
    /** The one used last at the end. */
    std::vector<Block> blocks;
    size_t bytes = 0;

    ~Free();
    bool Take(size_t room, Block* block);
    void Give(Block block);
  };

  const std::shared_ptr<Free> free_;
};
