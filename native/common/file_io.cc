#include "file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>

namespace {

/**
 * For a long write the page cache takes its memory in large pieces. Those are what a virtual machine
 * has given back to its host, and the dearest to have again.
 */
constexpr uint64_t kCachedWriteBytes = 64 << 10;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

int Duplicate(int fd) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) Fail("dup");
  return own;
}

}  // namespace

DescriptorCopy::DescriptorCopy(int fd) : fd_(Duplicate(fd)) {}
DescriptorCopy::~DescriptorCopy() { close(fd_); }

uint64_t LengthOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) Fail("cache file");
  return static_cast<uint64_t>(info.st_size);
}

void SyncFile(int fd) {
#ifdef __APPLE__
  if (fsync(fd) != 0) Fail("sync");
#else
  if (fdatasync(fd) != 0) Fail("sync");
#endif
}

bool ReadAt(int fd, uint8_t* into, uint64_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t got = pread(fd, into, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return true;
}

bool IsCached(int fd, uint64_t offset, uint64_t length) {
#ifdef __linux__
  constexpr long kCachestat = 451;
  const uint64_t range[2] = {offset, length};
  uint64_t counts[5] = {};
  const uint64_t pages = (offset + length - 1) / kDirectAlignment - offset / kDirectAlignment + 1;
  return syscall(kCachestat, fd, range, counts, 0) == 0 && counts[0] >= pages;
#else
  static_cast<void>(fd), static_cast<void>(offset), static_cast<void>(length);
  return false;
#endif
}

bool ReadPast(int fd, uint8_t* into, uint64_t length, uint64_t offset) {
#if defined(__linux__) && defined(O_DIRECT)
  const int past = IsCached(fd, offset, length) ? -1 : open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (past >= 0) {
    const uint64_t blocks = (length + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
    ssize_t got;
    do got = pread(past, into, blocks, static_cast<off_t>(offset));
    while (got < 0 && errno == EINTR);
    close(past);
    if (got >= 0 && static_cast<uint64_t>(got) >= length) return true;
  }
#endif
  return ReadAt(fd, into, length, offset);
}

void WriteAt(int fd, const uint8_t* bytes, uint64_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t put = pwrite(fd, bytes, std::min(length, kCachedWriteBytes), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) Fail("write");
    bytes += put;
    offset += static_cast<uint64_t>(put);
    length -= static_cast<uint64_t>(put);
  }
}

void WritePast(int fd, const uint8_t* bytes, uint64_t length, uint64_t offset) {
#if defined(__linux__) && defined(O_DIRECT)
  const uint64_t from = (offset + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  const uint64_t to = (offset + length) / kDirectAlignment * kDirectAlignment;
  // A description of its own: other writers of the file go through the page cache.
  const int past = from < to ? open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_CLOEXEC | O_DIRECT) : -1;
  if (past >= 0) {
    ssize_t put;
    do put = pwrite(past, bytes + (from - offset), to - from, static_cast<off_t>(from));
    while (put < 0 && errno == EINTR);
    close(past);
    const uint64_t done = put > 0 ? static_cast<uint64_t>(put) : 0;
    WriteAt(fd, bytes, from - offset, offset);
    // What did not go this way, all of it where the file system refuses, goes the usual one, which tells errors.
    WriteAt(fd, bytes + (from - offset) + done, offset + length - from - done, from + done);
    return;
  }
#endif
  WriteAt(fd, bytes, length, offset);
}
