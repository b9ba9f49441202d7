#include "sums_file.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fcntl.h>
#include <sys/mman.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>
#include <tuple>

#include "block_sum.h"

namespace {

constexpr uint64_t kHeaderBytes = 4096;
constexpr uint64_t kMagic = 0x33534d5553484350;  // "PCHSUMS3"

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

[[noreturn]] void Stale() {
  errno = ESTALE;
  Fail("checksums of another file");
}

/**
 * Makes room on the disk for what will be written through a mapping: a write there to a hole, when the
 * disk is full, kills the process.
 */
void Allocate(int fd, uint64_t offset, uint64_t length) {
#ifdef __linux__
  if (fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) Fail("allocate");
#endif
  static_cast<void>(fd), static_cast<void>(offset), static_cast<void>(length);
}

/** Bytes that need room before anything is looked at: on a tmpfs a hole takes room also when it is read. */
uint64_t RoomAtFirst(int fd, uint64_t mapped) {
#ifdef __linux__
  struct statfs info;
  if (fstatfs(fd, &info) == 0 && info.f_type == TMPFS_MAGIC) return mapped;
#endif
  static_cast<void>(fd), static_cast<void>(mapped);
  return kHeaderBytes;
}

uint64_t CheckOf(const FileStamp& stamp) { return XXH3_64bits(stamp.data(), sizeof stamp) | 1; }

}  // namespace

struct SumsFile::Header {
  uint64_t magic;
  uint64_t size;
  /** The file whose checksums these are, and its content. */
  FileIdentity file;
  Content content;
  Boot boot;
  /** The seal, and a checksum of it; 0: there is none. */
  std::array<std::atomic<uint64_t>, std::tuple_size<FileStamp>::value> stamp;
  std::atomic<uint64_t> stamp_check;
};

SumsFile::SumsFile(int fd, const Owner& owner, const Boot& boot) : fd_(fd), mapped_(kHeaderBytes + owner.blocks * sizeof(uint32_t)) {
  Map();
  try {
    Begin(owner, boot);
  } catch (...) {
    munmap(base_, mapped_);
    throw;
  }
}

SumsFile::~SumsFile() { munmap(base_, mapped_); }

void SumsFile::Map() {
  const uint64_t had = LengthOf(fd_.get());
  if (had != 0 && had != mapped_) Stale();
  if (had == 0 && ftruncate(fd_.get(), static_cast<off_t>(mapped_)) != 0) Fail("cache file");
  Allocate(fd_.get(), 0, RoomAtFirst(fd_.get(), mapped_));
  void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (base == MAP_FAILED) Fail("mmap");
  base_ = static_cast<uint8_t*>(base);
  sums_ = reinterpret_cast<std::atomic<uint32_t>*>(base_ + kHeaderBytes);
}

void SumsFile::Begin(const Owner& owner, const Boot& boot) {
  const bool ours = header()->magic == kMagic && header()->size == owner.size && header()->file == owner.file && header()->content == owner.content;
  // Other processes that have them open may go on to mark blocks of the other file in them.
  if (!ours && header()->magic != 0) Stale();
  if (!ours || (header()->boot != boot && header()->stamp_check == 0)) {
    Clear();
    Allocate(fd_.get(), 0, RoomAtFirst(fd_.get(), mapped_));
    header()->size = owner.size;
    header()->file = owner.file;
    header()->content = owner.content;
    header()->magic = kMagic;
  }
  header()->boot = boot;
}

uint64_t SumsFile::SizeIn(int fd) {
  uint64_t start[2];
  static_assert(offsetof(Header, magic) == 0 && offsetof(Header, size) == sizeof start[0]);
  if (!ReadAt(fd, reinterpret_cast<uint8_t*>(start), sizeof start, 0)) Stale();
  if (start[0] == kMagic && start[1] < 1ull << 53) return start[1];
  if ((start[0] ^ kMagic) << 8 != 0) Stale();
  errno = EPROTONOSUPPORT;
  Fail("checksums of another version");
}

/** Forgets all, where possible without touching every page, of which a large file has many. */
void SumsFile::Clear() {
#ifdef FALLOC_FL_PUNCH_HOLE
  if (fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(mapped_)) == 0) return;
#endif
  std::memset(base_, 0, mapped_);
}

bool SumsFile::Replace(uint64_t block, uint32_t* was, uint32_t sum) {
  if (!sums_[block].compare_exchange_strong(*was, sum)) return false;
  if (!IsWhole(sum) && IsWhole(*was)) Unseal();
  return true;
}

void SumsFile::Reserve(uint64_t first, uint64_t last) {
  Allocate(fd_.get(), kHeaderBytes + first * sizeof(uint32_t), (last - first) * sizeof(uint32_t));
}

bool SumsFile::SetLock(bool locked, uint64_t offset, uint64_t length) {
#ifdef F_OFD_SETLK
  struct flock lock {};
  lock.l_type = locked ? F_WRLCK : F_UNLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(offset);
  lock.l_len = static_cast<off_t>(length);
  return fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
#else
  (void)locked, (void)offset, (void)length;
  return true;
#endif
}

void SumsFile::Sync() { SyncFile(fd_.get()); }

void SumsFile::Seal(const FileStamp& stamp) {
  // The old seal goes first: a reader must not find one that is half old and half new.
  Unseal();
  for (size_t part = 0; part < stamp.size(); ++part) header()->stamp[part] = stamp[part];
  header()->stamp_check = CheckOf(stamp);
}

void SumsFile::Unseal() { header()->stamp_check = 0; }

std::optional<FileStamp> SumsFile::sealed() const {
  const uint64_t check = header()->stamp_check;
  if (check == 0) return std::nullopt;
  FileStamp stamp;
  for (size_t part = 0; part < stamp.size(); ++part) stamp[part] = header()->stamp[part];
  if (CheckOf(stamp) != check) return std::nullopt;
  return stamp;
}
