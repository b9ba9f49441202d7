#include "file_stamp.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace {

[[noreturn]] void Fail() { throw std::system_error(errno, std::generic_category(), "cache file"); }

}  // namespace

FileStamp StampOf(int fd) {
#ifdef __linux__
  struct statx info;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &info) != 0) Fail();
  const bool born = (info.stx_mask & STATX_BTIME) != 0;
  auto part = [](auto value) { return static_cast<uint64_t>(value); };
  return {info.stx_ino, born ? part(info.stx_btime.tv_sec) : 0, born ? info.stx_btime.tv_nsec : 0, info.stx_size, info.stx_blocks,
          part(info.stx_mtime.tv_sec), info.stx_mtime.tv_nsec, part(info.stx_ctime.tv_sec), info.stx_ctime.tv_nsec};
#else
  struct stat info;
  if (fstat(fd, &info) != 0) Fail();
  auto part = [](auto value) { return static_cast<uint64_t>(value); };
#ifdef __APPLE__
  return {part(info.st_ino), part(info.st_birthtimespec.tv_sec), part(info.st_birthtimespec.tv_nsec), part(info.st_size), part(info.st_blocks),
          part(info.st_mtimespec.tv_sec), part(info.st_mtimespec.tv_nsec), part(info.st_ctimespec.tv_sec), part(info.st_ctimespec.tv_nsec)};
#else
  return {part(info.st_ino), 0, 0, part(info.st_size), part(info.st_blocks),
          part(info.st_mtim.tv_sec), part(info.st_mtim.tv_nsec), part(info.st_ctim.tv_sec), part(info.st_ctim.tv_nsec)};
#endif
#endif
}

FileIdentity IdentityOf(int fd) {
  const FileStamp stamp = StampOf(fd);
  FileIdentity identity;
  std::copy_n(stamp.begin(), kIdentityParts, identity.begin());
  return identity;
}
