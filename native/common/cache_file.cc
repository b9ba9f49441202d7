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
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "file_io.h"

namespace {

constexpr uint64_t kHeaderBytes = 4096;
constexpr uint64_t kMagic = 0x33534d5553484350;  // "PCHSUMS3"

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/** Set in what stands for a block of which only one part is known; and then, that it is the second one. */
constexpr uint32_t kPart = 1u << 31, kSecond = 1u << 30;

bool IsWhole(uint32_t sum) { return sum != 0 && (sum & kPart) == 0; }

/** Never 0, which is for what is absent. */
uint32_t SumOf(const uint8_t* bytes, size_t length) {
  const uint32_t sum = static_cast<uint32_t>(XXH3_64bits(bytes, length)) & ~kPart;
  return sum == 0 ? 1 : sum;
}

uint32_t PartSumOf(const uint8_t* bytes, size_t length, bool second) {
  const uint32_t sum = static_cast<uint32_t>(XXH3_64bits(bytes, length)) & (kSecond - 1);
  return sum | kPart | (second ? kSecond : 0);
}

[[noreturn]] void Stale() {
  errno = ESTALE;
  Fail("checksums of another file");
}

uint64_t LengthOf(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) Fail("cache file");
  return static_cast<uint64_t>(info.st_size);
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

/** Of these the first tell which file it is: also a later one with the number of one that was removed is another. */
constexpr size_t kIdentityParts = 3;
using Identity = std::array<uint64_t, kIdentityParts>;

CacheFile::Stamp StampOf(int fd) {
#ifdef __linux__
  struct statx info;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &info) != 0) Fail("cache file");
  const bool born = (info.stx_mask & STATX_BTIME) != 0;
  auto part = [](auto value) { return static_cast<uint64_t>(value); };
  return {info.stx_ino, born ? part(info.stx_btime.tv_sec) : 0, born ? info.stx_btime.tv_nsec : 0, info.stx_size, info.stx_blocks,
          part(info.stx_mtime.tv_sec), info.stx_mtime.tv_nsec, part(info.stx_ctime.tv_sec), info.stx_ctime.tv_nsec};
#else
  struct stat info;
  if (fstat(fd, &info) != 0) Fail("cache file");
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

Identity IdentityOf(int fd) {
  const CacheFile::Stamp stamp = StampOf(fd);
  Identity identity;
  std::copy_n(stamp.begin(), kIdentityParts, identity.begin());
  return identity;
}

uint64_t CheckOf(const CacheFile::Stamp& stamp) { return XXH3_64bits(stamp.data(), sizeof stamp) | 1; }

/** A clock of the file system may stand still for so long: a later change would look like the last one. */
constexpr std::chrono::milliseconds kClockStep{20};

constexpr uint64_t kCheckBytes = 1 << 20;

}  // namespace

struct CacheFile::Header {
  uint64_t magic;
  uint64_t size;
  /** The file whose checksums these are, and its content. */
  Identity data;
  Content content;
  Boot boot;
  /** What the file looked like when it was sealed, and a checksum of that, which is never 0. */
  std::array<std::atomic<uint64_t>, std::tuple_size<Stamp>::value> stamp;
  std::atomic<uint64_t> stamp_check;
};

CacheFile::CacheFile(int data, int sums, uint64_t size, const Content& content, const Boot& boot) : size_(size) {
  try {
    data_ = Duplicate(data);
    sums_ = Duplicate(sums);
    mapped_ = kHeaderBytes + blocks() * sizeof(uint32_t);
    // Who comes second finds what the first has made of it.
    while (flock(sums, LOCK_EX) != 0) {
      if (errno != EINTR) Fail("flock");
    }
    const uint64_t had = LengthOf(sums_);
    if (had != 0 && had != mapped_) Stale();
    if (had == 0 && ftruncate(sums_, static_cast<off_t>(mapped_)) != 0) Fail("cache file");
    Allocate(sums_, 0, RoomAtFirst(sums_, mapped_));
    void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, sums_, 0);
    if (base == MAP_FAILED) Fail("mmap");
    base_ = static_cast<uint8_t*>(base);
    const Identity identity = IdentityOf(data_);
    const bool ours = header()->magic == kMagic && header()->size == size && header()->data == identity && header()->content == content;
    // Whoever has them open may go on to mark blocks of the other file in them.
    if (!ours && header()->magic != 0) Stale();
    if (!ours || (header()->boot != boot && header()->stamp_check == 0)) {
      Clear();
      Allocate(sums_, 0, RoomAtFirst(sums_, mapped_));
      header()->size = size;
      header()->data = identity;
      header()->content = content;
      header()->magic = kMagic;
    }
    header()->boot = boot;
    // Of a file that is as long already this would change the times.
    if (LengthOf(data_) != size && ftruncate(data_, static_cast<off_t>(size)) != 0) Fail("cache file");
    flock(sums, LOCK_UN);
  } catch (...) {
    flock(sums, LOCK_UN);
    if (base_ != nullptr) munmap(base_, mapped_);
    if (data_ >= 0) close(data_);
    if (sums_ >= 0) close(sums_);
    throw;
  }
}

uint64_t CacheFile::SizeIn(int sums) {
  uint64_t start[2];
  static_assert(offsetof(Header, magic) == 0 && offsetof(Header, size) == sizeof start[0]);
  if (!ReadAt(sums, reinterpret_cast<uint8_t*>(start), sizeof start, 0)) Stale();
  if (start[0] == kMagic && start[1] < 1ull << 53) return start[1];
  if ((start[0] ^ kMagic) << 8 != 0) Stale();
  errno = EPROTONOSUPPORT;
  Fail("checksums of another version");
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
  while (block * kBlock < limit && IsWhole(sums()[block].load(std::memory_order_acquire))) block += 1;
  return std::max(offset, std::min(limit, block * kBlock));
}

bool CacheFile::Has(uint64_t offset, uint64_t length) const {
  const uint64_t end = offset + length;
  auto is_present = [&](uint64_t from, uint64_t to) { return PresentUntil(from, to) >= to; };
  const uint64_t from = (offset + kBlock - 1) / kBlock * kBlock;
  const uint64_t to = end == size_ ? end : end / kBlock * kBlock;
  if (from > to) return is_present(offset, end);
  auto has_part = [&](uint64_t at, uint64_t until, bool second) {
    const uint32_t sum = sums()[at / kBlock].load(std::memory_order_acquire);
    return is_present(at, until) || (sum & (kPart | kSecond)) == (kPart | (second ? kSecond : 0));
  };
  return is_present(from, to) && (offset == from || has_part(offset, from, true)) && (to == end || has_part(to, end, false));
}

/** False when another sum than `*was` stands there, which is then in `*was`. */
bool CacheFile::Replace(uint64_t block, uint32_t* was, uint32_t sum) {
  if (!sums()[block].compare_exchange_strong(*was, sum)) return false;
  if (!IsWhole(sum) && IsWhole(*was)) Unseal();
  return true;
}

void CacheFile::Mark(uint64_t block, const uint8_t* bytes) {
  const uint32_t sum = SumOf(bytes, BlockEnd(block) - block * kBlock);
  uint32_t was = sums()[block].load();
  while (!Replace(block, &was, sum)) continue;
}

void CacheFile::MarkPart(const BlockPart& part, bool rest_is_zeros) {
  if (rest_is_zeros) {
    uint8_t whole[kBlock] = {};
    std::memcpy(whole + part.from, part.bytes, part.length);
    return Mark(part.block, whole);
  }
  uint32_t was = sums()[part.block].load();
  while (!Replace(part.block, &was, Joined(was, part))) continue;
}

/** What stands for a block once this part is there: the whole only if what is known of the rest is what the disk has. */
uint32_t CacheFile::Joined(uint32_t known, const BlockPart& part) const {
  const bool second = part.from > 0;
  const uint32_t alone = PartSumOf(part.bytes, part.length, second);
  const bool rest_known = IsWhole(known) || (known != 0 && ((known & kSecond) != 0) != second);
  if (!rest_known) return alone;
  uint8_t whole[kBlock];
  const uint64_t start = part.block * kBlock, length = BlockEnd(part.block) - start;
  const uint64_t rest = second ? 0 : part.length, rest_length = second ? part.from : length - part.length;
  if (!ReadAt(data_, whole + rest, rest_length, start + rest)) return alone;
  std::memcpy(whole + part.from, part.bytes, part.length);
  const uint32_t sum = SumOf(whole, length);
  const uint32_t compared = IsWhole(known) ? sum : PartSumOf(whole + rest, rest_length, !second);
  return compared == known ? sum : alone;
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
  if (first > last) {
    // Both ends lie in one block.
    if (left && right) MarkPart({last, offset % kBlock, bytes, length}, true);
    return;
  }
  if (offset % kBlock != 0) MarkPart({first - 1, offset % kBlock, bytes, std::min(first * kBlock, end) - offset}, left);
  if (last * kBlock < end) MarkPart({last, 0, bytes + (last * kBlock - offset), end - last * kBlock}, right);
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
  Outcome outcome = Outcome::kRead;
  for (uint64_t block = first; block < last; ++block) {
    uint8_t* const bytes = *buffer + (block - first) * kBlock;
    if ((whole && IsRight(block, bytes)) || Recheck(block, bytes)) continue;
    outcome = Outcome::kDamaged;
  }
  if (outcome != Outcome::kRead) return outcome;
  parts->push_back({*buffer + (offset - from), offset, length, nullptr});
  *buffer += (last - first) * kBlock;
  return outcome;
}

bool CacheFile::IsRight(uint64_t block, const uint8_t* bytes) const {
  return SumOf(bytes, BlockEnd(block) - block * kBlock) == sums()[block].load(std::memory_order_acquire);
}

/** Reads a block once more: somebody may just have mended it. Forgets it if it is damaged, and then is false. */
bool CacheFile::Recheck(uint64_t block, uint8_t* bytes) {
  uint32_t wanted = sums()[block].load(std::memory_order_acquire);
  const uint64_t start = block * kBlock, length = BlockEnd(block) - start;
  if (!IsWhole(wanted)) return false;
  if (ReadAt(data_, bytes, length, start) && SumOf(bytes, length) == wanted) return true;
  Replace(block, &wanted, 0);
  return false;
}

void CacheFile::Drop(uint64_t offset, uint64_t length) {
  Unseal();
  const uint64_t last = std::min(blocks(), (offset + length + kBlock - 1) / kBlock);
  for (uint64_t block = offset / kBlock; block < last; ++block) {
    uint32_t was = sums()[block].load();
    // A hole is left one.
    while (was != 0 && !Replace(block, &was, 0)) continue;
  }
}

CacheFile::Checked CacheFile::Check(uint64_t offset, uint64_t length, bool past) {
  struct Freed {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  const std::unique_ptr<uint8_t, Freed> buffer(static_cast<uint8_t*>(std::aligned_alloc(kDirectAlignment, kCheckBytes)));
  if (!buffer) throw std::bad_alloc();
  Checked checked;
  const uint64_t end = std::min(size_, offset + length);
  for (uint64_t at = offset / kBlock * kBlock; at < end;) {
    const uint64_t until = KeptUntil(at, std::min(size_, at + kCheckBytes));
    if (until == at) {
      at += kBlock;
      continue;
    }
    const bool whole = past ? ReadPast(data_, buffer.get(), until - at, at) : ReadAt(data_, buffer.get(), until - at, at);
    for (uint64_t block = at / kBlock; block * kBlock < until; ++block) {
      uint8_t* const bytes = buffer.get() + (block * kBlock - at);
      if ((whole && IsRight(block, bytes)) || Recheck(block, bytes)) continue;
      checked.damaged += BlockEnd(block) - block * kBlock;
    }
    checked.bytes += until - at;
    at = until;
  }
  return checked;
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
  // From the first gap of the last time on, which most often is still there.
  const uint64_t until = KeptUntil(gap_, size_);
  gap_ = until < size_ ? until : KeptUntil(0, size_);
  return gap_ == size_;
}

CacheFile::Stamp CacheFile::Sync() {
  SyncFile(data_);
  return StampOf(data_);
}

bool CacheFile::Seal(const Stamp& stamp) {
  SyncFile(sums_);
  std::this_thread::sleep_for(kClockStep);
  if (!Whole() || StampOf(data_) != stamp) return false;
  // First that there is none: who looks meanwhile must not find one half and half.
  Unseal();
  for (size_t part = 0; part < stamp.size(); ++part) header()->stamp[part] = stamp[part];
  header()->stamp_check = CheckOf(stamp);
  return true;
}

bool CacheFile::Sealed() const {
  const uint64_t check = header()->stamp_check;
  if (check == 0) return false;
  Stamp stamp;
  for (size_t part = 0; part < stamp.size(); ++part) stamp[part] = header()->stamp[part];
  if (CheckOf(stamp) != check) return false;
  try {
    return stamp == StampOf(data_);
  } catch (const std::system_error&) {
    return false;
  }
}

void CacheFile::Unseal() { header()->stamp_check = 0; }
