// The file of checksums beside a cache file: a page of header, then 32 bits a block (block_sum.h). All
// mounts that have the cache file open map the same one, so that what one has written the others read.
//
// The header says of which content and of which file these are the checksums: a file that was removed
// and made again, or swapped with another, has others. It says of which boot of the machine they are,
// because a crash may keep checksums and lose bytes. And it holds the seal: what the cache file looked
// like when every byte of it had been read back and found right.
//
// No locks: blocks and seal are changed by single atomic stores, also by other processes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "file_io.h"
#include "file_stamp.h"

class SumsFile {
 public:
  using Boot = std::array<uint8_t, 16>;
  /** What names the content. */
  using Content = std::array<uint8_t, 32>;
  /** The cache file that the checksums belong to. */
  struct Owner {
    FileIdentity file;
    Content content;
    uint64_t size, blocks;
  };

  /**
   * Maps the file, of which it takes a copy of the descriptor, and begins it where it is new or an
   * earlier boot left it without a seal. The caller holds its lock. Throws std::system_error; ESTALE
   * when these are the checksums of another file.
   */
  SumsFile(int fd, const Owner& owner, const Boot& boot);
  ~SumsFile();
  SumsFile(const SumsFile&) = delete;
  SumsFile& operator=(const SumsFile&) = delete;

  /** The size of the cache file as a file of checksums has it. Throws std::system_error: ESTALE for none, EPROTONOSUPPORT for that of another version. */
  static uint64_t SizeIn(int fd);

  uint32_t Get(uint64_t block) const { return sums_[block].load(std::memory_order_acquire); }
  /** False when another sum than `*was` stands there, which is then in `*was`. A block that is lost breaks the seal. */
  bool Replace(uint64_t block, uint32_t* was, uint32_t sum);
  /** Room on the disk for the sums of blocks [first, last): before Replace, which would be killed on a full disk. */
  void Reserve(uint64_t first, uint64_t last);

  /** Locks a range of numbers against other users of the file, if it is free. Where the system has no such locks: true. */
  bool TryLock(uint64_t offset, uint64_t length) { return SetLock(true, offset, length); }
  void Unlock(uint64_t offset, uint64_t length) { SetLock(false, offset, length); }

  /** Throws std::system_error. */
  void Sync();
  void Seal(const FileStamp& stamp);
  void Unseal();
  std::optional<FileStamp> sealed() const;

 private:
  struct Header;
  Header* header() const { return reinterpret_cast<Header*>(base_); }
  void Map();
  void Begin(const Owner& owner, const Boot& boot);
  void Clear();
  bool SetLock(bool locked, uint64_t offset, uint64_t length);

  const DescriptorCopy fd_;
  const uint64_t mapped_;
  uint8_t* base_ = nullptr;
  std::atomic<uint32_t>* sums_ = nullptr;
};
