#include "inode_table.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace {
constexpr uint64_t kMagic = 0x34454c4241544950;  // "PITABLE4"
constexpr uint64_t kFirstCapacity = 4096;
constexpr uint64_t kRoot = 1;
constexpr uint8_t kDirectory = 1;

[[noreturn]] void Fail(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

/** Keeps stores in order: should this process be killed, a successor that sees a later one sees the earlier ones. */
void InThisOrder() { std::atomic_thread_fence(std::memory_order_seq_cst); }

/** True for what has one inode in all versions in which its path has this content. */
bool IsShared(const Node& node) { return node.path != 0 && node.kind != kDirectory; }

/** Without the place, which is a hint: the same content may lie elsewhere since a collection. */
bool IsSame(const Node& a, const Node& b) {
  const bool same_place = IsShared(a) ? a.path == b.path : a.parent == b.parent && a.ordinal == b.ordinal;
  return same_place && IsShared(a) == IsShared(b) && a.size == b.size && a.mtime_seconds == b.mtime_seconds &&
         a.mtime_nanoseconds == b.mtime_nanoseconds && a.kind == b.kind && a.executable == b.executable &&
         a.ref == b.ref && std::memcmp(a.hash, b.hash, sizeof a.hash) == 0;
}

uint64_t PathOf(uint64_t directory, const char* name, size_t length) {
  const uint64_t path = XXH3_64bits_withSeed(name, length, directory);
  return path == 0 ? 1 : path;
}
}  // namespace

// The file: header, records 0..capacity-1, index of `capacity` buckets, a power of two.
struct InodeTable::Header {
  uint64_t magic;
  uint64_t capacity;
  uint64_t used;  // records ever taken, with the unused record 0
  uint64_t free;  // first of the free chain
  uint64_t count;
  uint64_t flags;  // agreed on
  uint32_t minor;  // agreed on; 0 before
  uint32_t padding;
};

static uint64_t FileBytes(uint64_t header, uint64_t capacity) {
  return header + capacity * (sizeof(Inode) + sizeof(uint64_t));
}

int InodeTable::CreateFile() {
  int fd = memfd_create("pachmount-inodes", MFD_CLOEXEC);
  if (fd < 0) Fail(errno, "memfd_create");
  return fd;
}

InodeTable::InodeTable(int fd) : fd_(fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) Fail(errno, "inode table");
  if (info.st_size == 0) {
    Begin();
    return;
  }
  uint64_t size = static_cast<uint64_t>(info.st_size);
  if (size < sizeof(Header)) Fail(EINVAL, "inode table");
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) Fail(errno, "inode table");
  base_ = static_cast<uint8_t*>(base);
  mapped_ = size;
  // The process that made it was killed before the first request, so nothing is lost.
  if (header()->magic == 0) {
    Begin();
    return;
  }
  uint64_t capacity = header()->capacity;
  bool sound = header()->magic == kMagic && capacity >= kFirstCapacity && (capacity & (capacity - 1)) == 0 &&
               capacity <= size / sizeof(Inode) && FileBytes(sizeof(Header), capacity) <= size &&
               header()->used > kRoot && header()->used <= capacity;
  if (!sound) {
    munmap(base_, mapped_);
    Fail(EINVAL, "inode table");
  }
  Recover();
}

InodeTable::~InodeTable() {
  if (base_) munmap(base_, mapped_);
}

InodeTable::Header* InodeTable::header() const { return reinterpret_cast<Header*>(base_); }
Inode* InodeTable::record(uint64_t ino) const { return reinterpret_cast<Inode*>(base_ + sizeof(Header)) + ino; }
uint64_t* InodeTable::buckets() const { return reinterpret_cast<uint64_t*>(record(header()->capacity)); }

bool InodeTable::Known(uint64_t ino) const {
  if (ino < kRoot || ino >= header()->used) return false;
  return ino == kRoot || record(ino)->lookups != 0 || record(ino)->children != 0;
}

uint64_t* InodeTable::Bucket(const Node& node) const {
  uint64_t a = node.parent, b = node.ordinal;
  if (IsShared(node)) {
    a = node.path;
    std::memcpy(&b, node.hash, sizeof b);
  }
  uint64_t h = (a * 0x9e3779b97f4a7c15ull) ^ (b * 0xc2b2ae3d27d4eb4full);
  h ^= h >> 29;
  return &buckets()[(h * 0xbf58476d1ce4e5b9ull >> 17) & (header()->capacity - 1)];
}

uint64_t InodeTable::Find(const Node& node) const {
  for (uint64_t at = *Bucket(node); at != 0; at = record(at)->next) {
    if (IsSame(record(at)->node, node)) return at;
  }
  return 0;
}

void InodeTable::Link(uint64_t ino) {
  uint64_t* bucket = Bucket(record(ino)->node);
  record(ino)->next = static_cast<uint32_t>(*bucket);
  *bucket = ino;
}

void InodeTable::Unlink(uint64_t ino) {
  uint64_t* bucket = Bucket(record(ino)->node);
  if (*bucket == ino) {
    *bucket = record(ino)->next;
    return;
  }
  for (uint64_t at = *bucket; at != 0; at = record(at)->next) {
    if (record(at)->next != ino) continue;
    record(at)->next = record(ino)->next;
    return;
  }
}

/** The inode was found in another version: it belongs there now, and the directory before may be needed by nobody. */
void InodeTable::MoveTo(uint64_t ino, const Node& node) {
  const uint64_t before = record(ino)->node.parent;
  record(ino)->node = node;
  if (node.parent == before) return;
  record(node.parent)->children += 1;
  record(before)->children -= 1;
  Release(before);
}

void InodeTable::Begin() {
  Resize(kFirstCapacity);
  *header() = Header{0, kFirstCapacity, kRoot + 1, 0, 1, 0, 0, 0};
  InThisOrder();
  header()->magic = kMagic;
}

/** Only lookups, generations and what entries say are trusted; the rest follows from them. */
void InodeTable::Recover() {
  uint64_t used = header()->used;
  for (uint64_t ino = kRoot; ino < used; ++ino) record(ino)->children = 0;
  for (uint64_t ino = kRoot + 1; ino < used; ++ino) {
    if (record(ino)->lookups == 0) continue;
    // An ancestor without lookups is in use from its first child on, and then counts as a child of its own parent.
    for (uint64_t child = ino; child != kRoot;) {
      uint64_t parent = record(child)->node.parent;
      if (parent < kRoot || parent >= used) break;
      bool first = record(parent)->children++ == 0;
      if (!first || record(parent)->lookups != 0) break;
      child = parent;
    }
  }
  header()->free = 0;
  header()->count = 1;
  for (uint64_t ino = used - 1; ino > kRoot; --ino) {
    if (Known(ino)) {
      header()->count += 1;
    } else {
      record(ino)->next = static_cast<uint32_t>(header()->free);
      header()->free = ino;
    }
  }
  Reindex();
}

void InodeTable::Reindex() {
  std::memset(buckets(), 0, header()->capacity * sizeof(uint64_t));
  for (uint64_t ino = kRoot + 1; ino < header()->used; ++ino) {
    if (Known(ino)) Link(ino);
  }
}

void InodeTable::Resize(uint64_t capacity) {
  uint64_t bytes = FileBytes(sizeof(Header), capacity);
  if (ftruncate(fd_, static_cast<off_t>(bytes)) != 0) Fail(errno, "inode table");
  void* base = base_ ? mremap(base_, mapped_, bytes, MREMAP_MAYMOVE)
                     : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (base == MAP_FAILED) Fail(errno, "inode table");
  base_ = static_cast<uint8_t*>(base);
  mapped_ = bytes;
}

void InodeTable::Grow() {
  uint64_t old = header()->capacity;
  Resize(old * 2);
  // Records will lie where the index was. Memory beyond it was never touched and is not now.
  std::memset(static_cast<void*>(record(old)), 0, old * sizeof(uint64_t));
  InThisOrder();
  header()->capacity = old * 2;
  Reindex();
}

uint64_t InodeTable::Intern(Node* node, const char* name, size_t name_length, uint32_t* generation) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!Known(node->parent)) Fail(ESTALE, "directory");
  const uint64_t directory = record(node->parent)->node.path;
  node->path = directory == 0 ? 0 : PathOf(directory, name, name_length);
  uint64_t ino = Find(*node);
  if (ino != 0 && IsShared(*node)) MoveTo(ino, *node);
  if (ino == 0) {
    if (header()->free == 0 && header()->used == header()->capacity) Grow();
    if (header()->free != 0) {
      ino = header()->free;
      header()->free = record(ino)->next;
    } else {
      ino = header()->used;
    }
    Inode* inode = record(ino);
    inode->lookups = 0;
    inode->children = 0;
    inode->generation += 1;
    inode->node = *node;
    inode->opening = {0, 0};
    Link(ino);
    InThisOrder();
    if (ino == header()->used) header()->used += 1;
    record(node->parent)->children += 1;
    header()->count += 1;
  }
  record(ino)->lookups += 1;
  *generation = record(ino)->generation;
  return ino;
}

bool InodeTable::Forget(uint64_t ino, uint64_t lookups) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ino == kRoot || !Known(ino)) return false;
  Inode* inode = record(ino);
  inode->lookups -= lookups < inode->lookups ? static_cast<uint32_t>(lookups) : inode->lookups;
  Release(ino);
  return !Known(ino);
}

void InodeTable::Release(uint64_t ino) {
  while (ino != kRoot && !Known(ino)) {
    Inode* inode = record(ino);
    uint64_t parent = inode->node.parent;
    Unlink(ino);
    inode->next = static_cast<uint32_t>(header()->free);
    header()->free = ino;
    header()->count -= 1;
    record(parent)->children -= 1;
    ino = parent;
  }
}

bool InodeTable::Get(uint64_t ino, Node* node) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!Known(ino)) return false;
  *node = record(ino)->node;
  return true;
}

bool InodeTable::Get(uint64_t ino, Node* node, Node* directory, uint64_t* top) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!Known(ino)) return false;
  *node = record(ino)->node;
  if (directory != nullptr) *directory = record(node->parent)->node;
  if (top == nullptr) return true;
  uint64_t at = ino;
  while (record(at)->node.parent != kRoot) at = record(at)->node.parent;
  *top = record(at)->node.ordinal;
  return true;
}

void InodeTable::SetRoot(const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  record(kRoot)->node = node;
}

Opening InodeTable::GetOpening(uint64_t ino) {
  std::lock_guard<std::mutex> lock(mutex_);
  return Known(ino) ? record(ino)->opening : Opening{0, 0};
}

void InodeTable::SetOpening(uint64_t ino, Opening opening) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (Known(ino)) record(ino)->opening = opening;
}

uint64_t InodeTable::Count() {
  std::lock_guard<std::mutex> lock(mutex_);
  return header()->count;
}

bool InodeTable::Negotiated(uint32_t* minor, uint64_t* flags) {
  std::lock_guard<std::mutex> lock(mutex_);
  *minor = header()->minor;
  *flags = header()->flags;
  return *minor != 0;
}

void InodeTable::SetNegotiated(uint32_t minor, uint64_t flags) {
  std::lock_guard<std::mutex> lock(mutex_);
  header()->flags = flags;
  InThisOrder();
  header()->minor = minor;
}

void InodeTable::EndNegotiated(uint64_t flags) {
  std::lock_guard<std::mutex> lock(mutex_);
  header()->flags &= ~flags;
}
