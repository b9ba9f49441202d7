// Descriptors that close themselves, and whole reads and writes of their bytes.
#pragma once

#include <cstdint>

/** What reading and writing past the page cache asks of memory, offsets and lengths. */
constexpr uint64_t kDirectAlignment = 4096;

/** A copy of a descriptor, closed with its scope. Throws std::system_error. */
class DescriptorCopy {
 public:
  explicit DescriptorCopy(int fd);
  ~DescriptorCopy();
  DescriptorCopy(const DescriptorCopy&) = delete;
  DescriptorCopy& operator=(const DescriptorCopy&) = delete;

  int get() const { return fd_; }

 private:
  const int fd_;
};

/** The length of a file. Throws std::system_error. */
uint64_t LengthOf(int fd);

/** Writes what is in memory of a file to the disk. Throws std::system_error. */
void SyncFile(int fd);

/** Exactly `length` bytes; false at the end of the file, and when they can't be read. */
bool ReadAt(int fd, uint8_t* into, uint64_t length, uint64_t offset);

/** True when the page cache has all of a range (Linux 6.5; others do not tell). */
bool IsCached(int fd, uint64_t offset, uint64_t length);

/** As ReadAt, past the page cache unless it has the range. Memory and offset must be aligned, with room for whole blocks. */
bool ReadPast(int fd, uint8_t* into, uint64_t length, uint64_t offset);

/** Throws std::system_error. */
void WriteAt(int fd, const uint8_t* bytes, uint64_t length, uint64_t offset);

/**
 * The same past the page cache, as far as the file system can: all but what shares a block of
 * kDirectAlignment with other bytes. The memory must lie in its blocks as the bytes in the file's.
 */
void WritePast(int fd, const uint8_t* bytes, uint64_t length, uint64_t offset);
