// A large file's plain bytes on this machine's disk: a sparse file, and beside it a checksum for
// each block of 4 KiB that is there (0: it is not). Mounts of several processes map the same
// checksums, so what one has written the others read.
//
// A checksum is computed from bytes that were verified, never from what the disk gives back
// unchecked. So it is right even when the bytes on the disk are not, and what is read is compared
// with it every time. Of a block that two chunks share, the checksum of one part stands there until
// the other part comes; then the part on the disk is compared with it first.
//
// Once every byte was read back from the disk and found right, the file of checksums (sums_file.h)
// keeps what this file looked like then. A file that still looks so is sealed: it outlives a crash, and
// may be read unchecked.
//
// Any thread may use it. Readers and writers of bytes take no lock: a block counts only once its sum is
// stored, which happens after its bytes are written, and what is read is compared with the sum.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "file_io.h"
#include "file_stamp.h"
#include "runs.h"
#include "sums_file.h"

class CacheFile {
 public:
  static constexpr uint64_t kBlock = 4096;
  using Boot = SumsFile::Boot;
  using Content = SumsFile::Content;
  using Stamp = FileStamp;

  /**
   * Takes copies of both descriptors; forgets what an earlier boot left unsealed. Throws
   * std::system_error; ESTALE when these are the checksums of another file or content. Then both files
   * must be replaced by new ones: whoever has these open goes on with them.
   */
  CacheFile(int data, int sums, uint64_t size, const Content& content, const Boot& boot);
  /** The size that a file of checksums names; as SumsFile::SizeIn. */
  static uint64_t SizeIn(int sums) { return SumsFile::SizeIn(sums); }
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
   * True when every byte of a chunk is there, also where it shares a block with a chunk that is not.
   * A chunk that has no block to itself is there when that block is.
   */
  bool Has(uint64_t offset, uint64_t length) const;

  /**
   * Keeps a chunk's bytes, verified by the caller. A block that it shares with a neighbour can be
   * read when both are there. `left` and `right` tell that a hole is beside it, whose zeros reach to
   * the block's end. A chunk inside of one block is not kept unless both are said. `past`: past the
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
   * Bytes [offset, offset+length), within the file, as parts in order. Damaged blocks are forgotten.
   * The buffer needs room for kSlack bytes more.
   */
  Outcome Read(uint64_t offset, uint64_t length, uint8_t* buffer, std::vector<Part>* parts);
  static constexpr unsigned kFilePartsMax = 4;
  static constexpr uint64_t kSlack = kFilePartsMax * 2 * kBlock;
  /**
   * Reads bytes that the file itself has to aligned memory, with room for whole blocks, past the page cache
   * unless that has them. `offset` is a block's beginning. False when some are not there, or not right.
   */
  bool ReadRight(uint64_t offset, uint64_t length, uint8_t* into) const;
  /** Forgets the blocks of a range. */
  void Drop(uint64_t offset, uint64_t length);

  /**
   * Says to other processes that this one fetches a range; false when another one has said so of a
   * part of it. Ends with Unclaim, or with the process. Where the system has no such locks: true.
   */
  bool Claim(uint64_t offset, uint64_t length);
  void Unclaim(uint64_t offset, uint64_t length);

  /** True when every block is on the disk, as the checksums say. */
  bool Whole();
  struct Checked {
    uint64_t bytes = 0, damaged = 0;
  };
  /**
   * Reads a range back and compares what is there. Damaged blocks are forgotten. `past`: what the page
   * cache does not have is left out of it.
   */
  Checked Check(uint64_t offset, uint64_t length, bool past);

  /** Writes what is still in memory to the disk, and tells what the file looks like then. Throws std::system_error. */
  Stamp Sync();
  /**
   * Seals a file of which Check has found every byte right since Sync gave this stamp. False when
   * not all is there, or the file was written to since. Throws std::system_error.
   */
  bool Seal(const Stamp& stamp);
  /** True when the file looks as it did when it was sealed. */
  bool Sealed() const;

  /** Descriptor of the bytes, open as long as this is. */
  int data() const { return data_.get(); }
  uint64_t size() const { return size_; }

 private:
  uint64_t KeptUntil(uint64_t offset, uint64_t limit) const;
  Outcome ReadKept(uint64_t offset, uint64_t length, uint8_t** buffer, std::vector<Part>* parts);
  uint64_t BlockEnd(uint64_t block) const;
  void Mark(uint64_t block, const uint8_t* bytes);
  /** A chunk's part of a block that it shares; `from`: where it begins in the block. */
  struct BlockPart {
    uint64_t block, from;
    const uint8_t* bytes;
    uint64_t length;
  };
  void MarkPart(const BlockPart& part, bool rest_is_zeros);
  uint32_t Joined(uint32_t known, const BlockPart& part) const;
  bool IsRight(uint64_t block, const uint8_t* bytes) const;
  bool Recheck(uint64_t block, uint8_t* bytes);
  uint64_t blocks() const { return (size_ + kBlock - 1) / kBlock; }

  const std::shared_ptr<Runs> runs_ = std::make_shared<Runs>();
  /** Held while bytes are written through the page cache. */
  std::mutex writing_;
  const uint64_t size_;
  const DescriptorCopy data_;
  /** There once the constructor is done. */
  std::optional<SumsFile> sums_;
  /** Where Whole found the first block that was not there. */
  std::atomic<uint64_t> gap_{0};
};
