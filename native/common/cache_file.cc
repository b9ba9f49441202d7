#include "cache_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "file_io.h"

namespace {

constexpr uint64_t kHeaderBytes = 4096;
constexpr uint64_t kMagic = 0x32534d5553484350;  // "PCHSUMS2"

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/** Never 0, which is for what is absent. */
uint32_t SumOf(const uint8_t* bytes, size_t length) {
  const uint32_t sum = static_cast<uint32_t>(XXH3_64bits(bytes, length));
  return sum == 0 ? 1 : sum;
}

int Duplicate(int fd) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) Fail("dup");
  return own;
}

/**
 * Room on the disk for what will be written through a mapping: who writes there to a hole, when the
 * disk is full, is killed for it.
 */
void Allocate(int fd, uint64_t offset, uint64_t length) {
#ifdef __linux__
  if (fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) Fail("allocate");
#endif
  static_cast<void>(fd), static_cast<void>(offset), static_cast<void>(length);
}

/** What must be there of a mapped file before anything is looked at: in memory a hole takes room also when it is read. */
uint64_t RoomAtFirst(int fd, uint64_t mapped) {
#ifdef __linux__
  struct statfs info;
  if (fstatfs(fd, &info) == 0 && info.f_type == TMPFS_MAGIC) return mapped;
#endif
  static_cast<void>(fd), static_cast<void>(mapped);
  return kHeaderBytes;
}

void SyncFile(int fd) {
#ifdef __APPLE__
  if (fsync(fd) != 0) Fail("sync");
#else
  if (fdatasync(fd) != 0) Fail("sync");
#endif
}

/** Which file this is: also a later one with the number of one that was removed is another. */
std::array<uint64_t, 3> IdentityOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) Fail("cache file");
  const uint64_t number = info.st_ino;
#ifdef __linux__
  struct statx more;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME) != 0) {
    return {number, static_cast<uint64_t>(more.stx_btime.tv_sec), more.stx_btime.tv_nsec};
  }
#elif defined(__APPLE__)
  return {number, static_cast<uint64_t>(info.st_birthtimespec.tv_sec), static_cast<uint64_t>(info.st_birthtimespec.tv_nsec)};
#endif
  return {number, 0, 0};
}

}  // namespace

struct CacheFile::Header {
  uint64_t magic;
  uint64_t size;
  /** The file whose checksums these are. */
  Identity data;
  std::atomic<uint64_t> settled;
  Boot boot;
  /** About how many blocks are there: a hint when to look at them all. */
  std::atomic<uint64_t> count;
};

CacheFile::CacheFile(int data, int sums, uint64_t size, const Boot& boot) : size_(size) {
  try {
    data_ = Duplicate(data);
    sums_ = Duplicate(sums);
    mapped_ = kHeaderBytes + blocks() * sizeof(uint32_t);
    // Who comes second finds what the first has made of it.
    while (flock(sums, LOCK_EX) != 0) {
      if (errno != EINTR) Fail("flock");
    }
    struct stat there;
    if (fstat(sums_, &there) != 0 || ftruncate(data_, static_cast<off_t>(size)) != 0) Fail("cache file");
    const bool fresh = static_cast<uint64_t>(there.st_size) != mapped_;
    if (fresh && (ftruncate(sums_, 0) != 0 || ftruncate(sums_, static_cast<off_t>(mapped_)) != 0)) Fail("cache file");
    Allocate(sums_, 0, RoomAtFirst(sums_, mapped_));
    void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, sums_, 0);
    if (base == MAP_FAILED) Fail("mmap");
    base_ = static_cast<uint8_t*>(base);
    const Identity identity = IdentityOf(data_);
    const bool ours = header()->magic == kMagic && header()->size == size && header()->data == identity;
    if (!ours && header()->magic != 0) {
      // Whoever has them open may go on to mark blocks of the other file in them.
      errno = ESTALE;
      Fail("checksums of another file");
    }
    if (!ours || (header()->settled == 0 && header()->boot != boot)) {
      Clear();
      Allocate(sums_, 0, RoomAtFirst(sums_, mapped_));
      header()->size = size;
      header()->data = identity;
      header()->boot = boot;
      header()->magic = kMagic;
    }
    flock(sums, LOCK_UN);
  } catch (...) {
    flock(sums, LOCK_UN);
    if (base_ != nullptr) munmap(base_, mapped_);
    if (data_ >= 0) close(data_);
    if (sums_ >= 0) close(sums_);
    throw;
  }
}

/** Without touching every page, which for a large file are many. */
void CacheFile::Clear() {
#ifdef FALLOC_FL_PUNCH_HOLE
  if (fallocate(sums_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(mapped_)) == 0) return;
#endif
  std::memset(base_, 0, mapped_);
}

CacheFile::~CacheFile() {
  if (base_ != nullptr) munmap(base_, mapped_);
  close(data_);
  close(sums_);
}

std::atomic<uint32_t>* CacheFile::sums() const {
  return reinterpret_cast<std::atomic<uint32_t>*>(base_ + kHeaderBytes);
}

uint64_t CacheFile::BlockEnd(uint64_t block) const { return std::min(size_, (block + 1) * kBlock); }

uint64_t CacheFile::PresentUntil(uint64_t offset, uint64_t limit) const {
  limit = std::min(limit, size_);
  for (uint64_t at = offset; at < limit;) {
    const std::shared_ptr<Run> run = runs_->Find(at);
    const uint64_t end = run ? std::min<uint64_t>(run->landed, limit) : KeptUntil(at, limit);
    if (end == at) return at;
    at = end;
  }
  return std::max(offset, limit);
}

uint64_t CacheFile::KeptUntil(uint64_t offset, uint64_t limit) const {
  if (offset >= limit) return offset;
  uint64_t block = offset / kBlock;
  while (block * kBlock < limit && sums()[block].load(std::memory_order_acquire) != 0) block += 1;
  return std::max(offset, std::min(limit, block * kBlock));
}

void CacheFile::Mark(uint64_t block, const uint8_t* bytes) {
  const uint32_t sum = SumOf(bytes, BlockEnd(block) - block * kBlock);
  // In one order for all, so that of two who put neighbours at least one sees the other's.
  if (sums()[block].exchange(sum, std::memory_order_seq_cst) == 0) header()->count += 1;
}

void CacheFile::MarkShared(uint64_t block) {
  uint8_t bytes[kBlock];
  const uint64_t from = block * kBlock;
  if (ReadAt(data_, bytes, BlockEnd(block) - from, from)) Mark(block, bytes);
}

void CacheFile::Put(uint64_t offset, const uint8_t* bytes, uint64_t length, bool left, bool right, bool past) {
  if (length == 0) return;
  if (past) {
    WritePast(data_, bytes, length, offset);
  } else {
    // The kernel lets one write to a file at a time, and others spin for it.
    std::lock_guard<std::mutex> lock(writing_);
    WriteAt(data_, bytes, length, offset);
  }
  const uint64_t end = offset + length;
  // Also of the blocks that it shares with its neighbours.
  const uint64_t sums_from = kHeaderBytes + offset / kBlock * sizeof(uint32_t);
  Allocate(sums_, sums_from, kHeaderBytes + ((end - 1) / kBlock + 1) * sizeof(uint32_t) - sums_from);
  const uint64_t first = (offset + kBlock - 1) / kBlock;
  const uint64_t last = end == size_ ? blocks() : end / kBlock;  // whole blocks are [first, last)
  for (uint64_t block = first; block < last; ++block) Mark(block, bytes + (block * kBlock - offset));
  auto there = [&](uint64_t block) { return block < blocks() && sums()[block].load(std::memory_order_seq_cst) != 0; };
  const bool shares_left = offset % kBlock != 0, shares_right = end % kBlock != 0 && end != size_;
  if (shares_left && first > last) {
    // Both ends lie in one block.
    if (left && right) MarkShared(first - 1);
    return;
  }
  if (shares_left && (left || (first >= 2 && there(first - 2)))) MarkShared(first - 1);
  if (shares_right && (right || there(last + 1))) MarkShared(last);
}

CacheFile::Outcome CacheFile::Read(uint64_t offset, uint64_t length, uint8_t* buffer, std::vector<Part>* parts) {
  const uint64_t end = offset + length;
  unsigned from_file = 0;
  for (uint64_t at = offset; at < end;) {
    if (std::shared_ptr<Run> run = runs_->Find(at)) {
      const uint64_t some = std::min({run->landed.load(std::memory_order_acquire), run->TogetherUntil(at), end}) - at;
      const uint8_t* bytes = run->At(at);
      parts->push_back({bytes, at, some, std::move(run)});
      at += some;
      continue;
    }
    const uint64_t until = runs_->NextFrom(at, end);
    if (++from_file > kFilePartsMax) return Outcome::kAbsent;
    const Outcome outcome = ReadKept(at, until - at, &buffer, parts);
    if (outcome != Outcome::kRead) return outcome;
    at = until;
  }
  return Outcome::kRead;
}

/** Reads whole blocks to `*buffer`, which goes on behind them. */
CacheFile::Outcome CacheFile::ReadKept(uint64_t offset, uint64_t length, uint8_t** buffer, std::vector<Part>* parts) {
  if (KeptUntil(offset, offset + length) < offset + length) return Outcome::kAbsent;
  const uint64_t first = offset / kBlock, last = (offset + length + kBlock - 1) / kBlock;
  const uint64_t from = first * kBlock, to = BlockEnd(last - 1);
  const bool whole = ReadAt(data_, *buffer, to - from, from);
  for (uint64_t block = first; block < last; ++block) {
    const uint32_t wanted = sums()[block].load(std::memory_order_acquire);
    if (wanted == 0) return Outcome::kAbsent;
    if (whole && SumOf(*buffer + (block - first) * kBlock, BlockEnd(block) - block * kBlock) == wanted) continue;
    Drop(offset, length);
    return Outcome::kDamaged;
  }
  parts->push_back({*buffer + (offset - from), offset, length, nullptr});
  *buffer += (last - first) * kBlock;
  return Outcome::kRead;
}

void CacheFile::Drop(uint64_t offset, uint64_t length) {
  header()->settled = 0;
  // Beside them, too: a block that two chunks share must not be taken for whole because of the one
  // that was not damaged.
  const uint64_t first = std::max<uint64_t>(offset / kBlock, 1) - 1;
  const uint64_t last = std::min(blocks(), (offset + length + kBlock - 1) / kBlock + 1);
  for (uint64_t block = first; block < last; ++block) {
    // A hole is left one.
    if (sums()[block].load() != 0 && sums()[block].exchange(0, std::memory_order_seq_cst) != 0) header()->count -= 1;
  }
}

bool CacheFile::Lock(short type, uint64_t offset, uint64_t length) {
#ifdef F_OFD_SETLK
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = static_cast<off_t>(length);
  return fcntl(sums_, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
#else
  (void)type, (void)offset, (void)length;
  return true;
#endif
}

bool CacheFile::Claim(uint64_t offset, uint64_t length) { return Lock(F_WRLCK, offset, length); }
void CacheFile::Unclaim(uint64_t offset, uint64_t length) { Lock(F_UNLCK, offset, length); }

bool CacheFile::Whole() {
  if (header()->settled != 0) return true;
  return header()->count >= blocks() && KeptUntil(0, size_) == size_;
}

void CacheFile::Settle() {
  if (!Whole() || header()->settled != 0) return;
  SyncFile(data_);
  SyncFile(sums_);
  header()->settled = 1;
}
