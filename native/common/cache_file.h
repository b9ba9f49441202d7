// A large file's plain bytes on this machine's disk: a sparse file, and beside it a checksum for
// each block of 4 KiB that is there (0: it is not). Mounts of several processes map the same
// checksums, so what one has written the others read; and what is read is checked against them.
//
// The file of checksums: a page of header, then 32 bits a block. It says of which boot of the
// machine it is, because a crash of the machine may keep checksums and lose bytes; once all blocks
// are there and both files are on the disk it is settled, and outlives that. And it says of which
// file: one that was removed and made again while its checksums were opened has others.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runs.h"

class CacheFile {
 public:
  static constexpr uint64_t kBlock = 4096;
  using Boot = std::array<uint8_t, 16>;

  /**
   * Takes copies of both descriptors; forgets what an earlier boot left unsettled. Throws
   * std::system_error; ESTALE when these are the checksums of another file, which must be replaced by
   * a new file of checksums: whoever has these open goes on with them.
   */
  CacheFile(int data, int sums, uint64_t size, const Boot& boot);
  ~CacheFile();
  CacheFile(const CacheFile&) = delete;
  CacheFile& operator=(const CacheFile&) = delete;

  /**
   * The end of the bytes that this process can read from `offset` on, in the file or in its runs; `offset`
   * itself where there are none. At most `limit`.
   */
  uint64_t PresentUntil(uint64_t offset, uint64_t limit) const;

  /** What is on its way to the file, for readers of this process. */
  const std::shared_ptr<Runs>& runs() const { return runs_; }

  /**
   * Keeps a chunk's bytes, verified by the caller. A block that it shares with a neighbour is there
   * when both are: `left` and `right` tell that the bytes beside it are there already (also as the
   * end of the file, or a hole); otherwise the next whole block on that side tells. So chunks that
   * have no block to themselves must be put before or after a neighbour with that said. `past`: past the
   * page cache; the memory must be as WritePast wants it. Throws std::system_error, for instance when
   * the disk is full.
   */
  void Put(uint64_t offset, const uint8_t* bytes, uint64_t length, bool left, bool right, bool past = false);

  enum class Outcome { kRead, kAbsent, kDamaged };
  /** Bytes that were read: in the reader's buffer, or in a run, which holds them. */
  struct Part {
    const uint8_t* bytes;
    uint64_t offset, length;
    std::shared_ptr<Run> run;
  };
  /**
   * Bytes [offset, offset+length), within the file, as parts in order. What is damaged is forgotten.
   * The buffer needs room for kSlack bytes more.
   */
  Outcome Read(uint64_t offset, uint64_t length, uint8_t* buffer, std::vector<Part>* parts);
  static constexpr unsigned kFilePartsMax = 4;
  static constexpr uint64_t kSlack = kFilePartsMax * 2 * kBlock;
  /** Forgets the blocks of a range, and one more on both sides. */
  void Drop(uint64_t offset, uint64_t length);

  /**
   * Says to other processes that this one fetches a range; false when another one has said so of a
   * part of it. Ends with Unclaim, or with the process. Where the system has no such locks: true.
   */
  bool Claim(uint64_t offset, uint64_t length);
  void Unclaim(uint64_t offset, uint64_t length);

  /** True when every block is on the disk. Looks at all only when it may be so. */
  bool Whole();
  /** Writes a whole file to the disk, so that it stays after a crash. Throws std::system_error. */
  void Settle();

  /** Descriptor of the bytes, open as long as this is. */
  int data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  using Identity = std::array<uint64_t, 3>;
  struct Header;
  Header* header() const { return reinterpret_cast<Header*>(base_); }
  std::atomic<uint32_t>* sums() const;
  void Clear();
  uint64_t KeptUntil(uint64_t offset, uint64_t limit) const;
  Outcome ReadKept(uint64_t offset, uint64_t length, uint8_t** buffer, std::vector<Part>* parts);
  bool Lock(short type, uint64_t offset, uint64_t length);
  uint64_t BlockEnd(uint64_t block) const;
  void Mark(uint64_t block, const uint8_t* bytes);
  void MarkShared(uint64_t block);
  uint64_t blocks() const { return (size_ + kBlock - 1) / kBlock; }

  const std::shared_ptr<Runs> runs_ = std::make_shared<Runs>();
  std::mutex writing_;
  int data_ = -1, sums_ = -1;
  const uint64_t size_;
  uint8_t* base_ = nullptr;
  size_t mapped_ = 0;
};
