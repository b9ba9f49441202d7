#include "write.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "errors.h"
#include "slab.h"

namespace {

/** Every disk takes writes of this size at such offsets, from memory at such addresses. */
constexpr size_t kAligned = 4096;

/** Parts of at least this length are written from where they lie, if they are aligned. */
constexpr size_t kInPlaceFrom = 1 << 20;

/** A new file that the page cache does not keep, where the file system can do that. */
int Create(const std::string& path, bool* direct) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
#ifdef O_DIRECT
  *direct = true;
  const int fd = open(path.c_str(), kFlags | O_DIRECT, 0444);
  // Some file systems make the file and then refuse O_DIRECT.
  if (fd >= 0 || errno != EINVAL) return fd;
  unlink(path.c_str());
#endif
  *direct = false;
  return open(path.c_str(), kFlags, 0444);
}

void WriteAt(int fd, const uint8_t* bytes, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t put = pwrite(fd, bytes, length, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw SystemError(errno, "write");
    // A full disk takes only a part. The rest may not be aligned; the next write then fails with the reason.
    bytes += put;
    offset += static_cast<uint64_t>(put);
    length -= static_cast<size_t>(put);
  }
}

/** Whether the disk takes bytes from where they lie, without a copy, at such an offset. */
bool IsAligned(Bytes part, uint64_t offset) {
  return reinterpret_cast<uintptr_t>(part.data) % kAligned == 0 && offset % kAligned == 0;
}

/** All parts, one after another, on the disk when it returns. */
void WriteAll(int fd, const std::vector<Bytes>& parts, bool direct) {
  size_t total = 0;
  for (const Bytes& part : parts) total += part.length;
  // Most of it is written from where it lies.
  const size_t room = std::min(kSlabMax, (total + kAligned - 1) / kAligned * kAligned);
  Slab slab;
  size_t filled = 0;
  uint64_t offset = 0;
  auto flush = [&] {
    WriteAt(fd, slab.get(), filled, offset);
    offset += filled;
    filled = 0;
  };
  for (Bytes part : parts) {
    if (part.length >= kInPlaceFrom && IsAligned(part, offset + filled)) {
      flush();
      const size_t whole = part.length / kAligned * kAligned;
      WriteAt(fd, part.data, whole, offset);
      offset += whole;
      part.data += whole;
      part.length -= whole;
    }
    while (part.length > 0) {
      if (!slab) slab = AllocateSlab(room);
      const size_t more = std::min(part.length, room - filled);
      std::memcpy(slab.get() + filled, part.data, more);
      part.data += more;
      part.length -= more;
      filled += more;
      if (filled == room) flush();
    }
  }
  if (filled > 0) {
    const size_t padded = direct ? (filled + kAligned - 1) / kAligned * kAligned : filled;
    std::memset(slab.get() + filled, 0, padded - filled);
    WriteAt(fd, slab.get(), padded, offset);
    offset += filled;
    if (padded != filled && ftruncate(fd, static_cast<off_t>(offset)) != 0) throw SystemError(errno, "ftruncate");
  }
#ifdef __APPLE__
  if (fsync(fd) != 0) throw SystemError(errno, "fsync");
#else
  if (fdatasync(fd) != 0) throw SystemError(errno, "fdatasync");
#endif
}

}  // namespace

int WriteNewFile(const std::string& path, const std::vector<Bytes>& parts, const Given& given) {
  bool direct = false;
  const int fd = Create(path, &direct);
  if (fd < 0) throw SystemError(errno, "open");
  try {
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) continue;
    if (given.group) (void)!fchown(fd, static_cast<uid_t>(-1), *given.group);
    if (given.mode) (void)!fchmod(fd, *given.mode);
    WriteAll(fd, parts, direct);
  } catch (...) {
    close(fd);
    throw;
  }
  return fd;
}
