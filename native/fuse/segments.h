// Files of the disk cache that are read in order: a segment of one is read past the page cache, unless
// that has it, by one thread for all who want a part of it, and before anybody asks for it. For the
// kernel asks an ordinary user's mount for little at a time, waits for it, and keeps what it gets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "../common/cache_file.h"
#include "blob_memory.h"
#include "kept_bytes.h"
#include "turns.h"

class Segments {
 public:
  static constexpr uint64_t kBytes = 1 << 20;

  Segments() : kept_(kKeptBytesMax) {}

  /** How a reader goes on who reads in order. */
  struct Order {
    /** He has done so for a while. */
    bool goes_on = false;
    /** So many segments are to be prepared for him now. */
    uint64_t ahead = 0;
  };
  /** Notes a read of bytes [offset, end). */
  Order Note(uint64_t ino, uint64_t offset, uint64_t end);
  using Hash = std::array<uint8_t, 32>;
  /** A segment's bytes, right by the checksums; nothing where the file, whose content has this hash, has not all of them. */
  SharedBytes Get(const CacheFile& file, const Hash& hash, uint64_t segment);
  /** Reads so many segments from one on, but for those that others read. */
  void Prepare(const CacheFile& file, const Hash& hash, uint64_t segment, uint64_t count);

 private:
  /** Who reads forward: of which file, up to where, how much so far, and when last (by a count of reads). */
  struct Reader {
    uint64_t ino = 0, next = 0, bytes = 0, used = 0;
  };
  static constexpr size_t kKeptBytesMax = 16 << 20;

  Reader* Find(uint64_t ino, uint64_t offset);
  uint64_t Active() const;

  BlobMemory memory_;
  KeptBytes kept_;
  Turns turns_;
  /** Of the readers, and held alone. */
  std::mutex mutex_;
  std::array<Reader, 16> readers_;
  uint64_t reads_ = 0;
};
