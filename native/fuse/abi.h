// The kernel's FUSE protocol, as far as a read-only file system needs it. Declared here, because
// the headers of the machine it is built on may be older than its kernel. Facts: Linux,
// include/uapi/linux/fuse.h, protocol 7.31 to 7.45.
#pragma once

#include <cstdint>

namespace fuse {

constexpr uint32_t kMajor = 7;
constexpr uint32_t kMinor = 40;
constexpr uint32_t kMinorNeeded = 31;
constexpr uint64_t kRootIno = 1;
/** What we let the kernel ask for at once; its own limit is as high. */
constexpr uint32_t kReadBytesMax = 1 << 20;
/** Nothing is written, but buffers for requests must have room for it. */
constexpr uint32_t kMaxWrite = 64 * 1024;
constexpr uint32_t kNameMax = 255;
/** Seconds for which names and attributes hold: a commit never changes. */
constexpr uint64_t kForEver = 1000000000;

enum Opcode : uint32_t {
  kLookup = 1,
  kForget = 2,
  kGetattr = 3,
  kReadlink = 5,
  kOpen = 14,
  kRead = 15,
  kStatfs = 17,
  kRelease = 18,
  kGetxattr = 22,
  kListxattr = 23,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kAccess = 34,
  kInterrupt = 36,
  kDestroy = 38,
  kBatchForget = 42,
  kReaddirplus = 44,
};

enum InitFlag : uint64_t {
  kAsyncRead = 1ull << 0,
  kDoReaddirplus = 1ull << 13,
  kNoOpenSupport = 1ull << 17,
  kParallelDirops = 1ull << 18,
  kAbortError = 1ull << 21,
  kMaxPages = 1ull << 22,
  kCacheSymlinks = 1ull << 23,
  kNoOpendirSupport = 1ull << 24,
  kInitExt = 1ull << 30,
  kPassthrough = 1ull << 37,
  kHasResend = 1ull << 39,
};

/** Sent in place of an error, with unique 0: the kernel queues again what was read but not answered. */
constexpr int32_t kNotifyResend = 7;

enum OpenFlag : uint32_t {
  kOpenKeepCache = 1 << 1,
  kOpenNoFlush = 1 << 5,
  kOpenPassthrough = 1 << 7,
};

struct InHeader {
  uint32_t len;
  uint32_t opcode;
  uint64_t unique;
  uint64_t nodeid;
  uint32_t uid, gid, pid;
  uint16_t total_extlen, padding;
};
struct OutHeader {
  uint32_t len;
  int32_t error;
  uint64_t unique;
};
struct Attr {
  uint64_t ino, size, blocks, atime, mtime, ctime;
  uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};
struct EntryOut {
  uint64_t nodeid, generation, entry_valid, attr_valid;
  uint32_t entry_valid_nsec, attr_valid_nsec;
  Attr attr;
};
struct AttrOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec, dummy;
  Attr attr;
};
struct InitIn {
  uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};
struct InitOut {
  uint32_t major, minor, max_readahead, flags;
  uint16_t max_background, congestion_threshold;
  uint32_t max_write, time_gran;
  uint16_t max_pages, map_alignment;
  uint32_t flags2, max_stack_depth;
  uint16_t request_timeout, unused[11];
};
struct ReadIn {
  uint64_t fh, offset;
  uint32_t size, read_flags;
  uint64_t lock_owner;
  uint32_t flags, padding;
};
struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};
struct ReleaseIn {
  uint64_t fh;
  uint32_t flags, release_flags;
  uint64_t lock_owner;
};
/** Of the ioctls on the device that lend a file to the kernel and take it back. */
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
struct GetxattrIn {
  uint32_t size, padding;
};
struct StatfsOut {
  uint64_t blocks, bfree, bavail, files, ffree;
  uint32_t bsize, namelen, frsize, padding, spare[6];
};
struct Dirent {
  uint64_t ino, off;
  uint32_t namelen, type;
};
struct BatchForgetIn {
  uint32_t count, dummy;
};
struct ForgetOne {
  uint64_t nodeid, nlookup;
};

static_assert(sizeof(InHeader) == 40 && sizeof(OutHeader) == 16 && sizeof(Attr) == 88);
static_assert(sizeof(EntryOut) == 128 && sizeof(AttrOut) == 104);
static_assert(sizeof(InitIn) == 64 && sizeof(InitOut) == 64 && sizeof(ReadIn) == 40);
static_assert(sizeof(StatfsOut) == 80 && sizeof(Dirent) == 24 && sizeof(ForgetOne) == 16);
static_assert(sizeof(OpenOut) == 16 && sizeof(ReleaseIn) == 24 && sizeof(BackingMap) == 16);

}  // namespace fuse
