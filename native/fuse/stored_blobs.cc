#include "stored_blobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <utility>

#include "../common/file_io.h"
#include "../common/tree_node.h"
#include "../data/blob.h"
#include "../data/errors.h"
#include "../data/hash.h"

namespace {

using Clock = std::chrono::steady_clock;

/** An object's file while it is written, from its start on, so its length says what has come (cache/whole-objects). */
constexpr char kPartName[] = ".0000000000000000";
/** When there are more, all are read again. */
constexpr size_t kPacksMax = 16384;
/** A folder that changed within this time may change again without looking so. */
constexpr int64_t kUnsettledNs = 100'000'000;
/** A use is noted so often: one pass over the data counts as one use. */
constexpr std::chrono::minutes kTouchEvery{10};
/** As DiskSpace.touch does: a use so long after the last one is another use. */
constexpr int64_t kAgainSeconds = 60;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

/** Notes that a folder of extents is used. */
void Touch(int folder) {
  struct stat info;
  timespec now;
  if (fstat(folder, &info) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return;
  if (now.tv_sec - info.st_mtim.tv_sec > kAgainSeconds && fchmod(folder, (info.st_mode & 0777) | S_ISVTX) != 0) return;
  const timespec times[2] = {now, now};
  futimens(folder, times);
}

/** The extent that a name says (`<offset>-<length>`). */
std::optional<std::pair<uint64_t, uint64_t>> ExtentOf(const char* name) {
  uint64_t numbers[2] = {0, 0};
  for (int part = 0; part < 2; ++part) {
    const char* const begin = name;
    for (; *name >= '0' && *name <= '9' && name - begin < 15; ++name) numbers[part] = numbers[part] * 10 + static_cast<uint64_t>(*name - '0');
    if (name == begin || *name++ != (part == 0 ? '-' : '\0')) return std::nullopt;
  }
  return std::make_pair(numbers[0], numbers[1]);
}

std::string HexOf(const uint8_t* bytes, size_t length) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (size_t i = 0; i < length; ++i) hex += {kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]};
  return hex;
}

bool CanBeHere(const StoredBlobs::Place& place) { return place.length > 0 && place.length <= StoredBlobs::kBytesMax + 1; }

}  // namespace

StoredBlobs::Outcome StoredBlobs::ReadChunk(const Place& place, const uint8_t* hash, uint64_t length, SharedBytes* bytes) {
  const SharedBytes stored = length > kBytesMax ? SharedBytes{} : ReadStored(place);
  if (!stored) return Outcome::kAbsent;
  try {
    *bytes = Decoded(stored, length, hash);
    // With another length than its node says JavaScript explains what is wrong.
    return bytes->length == length ? Outcome::kRead : Outcome::kAbsent;
  } catch (const DamagedError&) {
    return Damaged(place);
  }
}

StoredBlobs::Outcome StoredBlobs::ReadNode(const Place& place, const uint8_t* hash, SharedBytes* bytes) {
  const SharedBytes stored = ReadStored(place);
  if (!stored) return Outcome::kAbsent;
  try {
    *bytes = Decoded(stored, kBytesMax, nullptr);
  } catch (const DamagedError&) {
    return Damaged(place);
  }
  const size_t named = NamedLength(bytes->data, bytes->length);
  const bool is_right = named > 0 && std::memcmp(HashOf(Domain::kNode, bytes->data, named).data(), hash, sizeof(Hash)) == 0;
  return is_right ? Outcome::kRead : Damaged(place);
}

bool StoredBlobs::Has(const Place& place) {
  if (form_ == Form::kNone || !CanBeHere(place)) return false;
  const std::string path = PathOf(place);
  if (form_ == Form::kPacks) return access(path.c_str(), R_OK) == 0;
  Extent extent;
  return FindKnown(path, place, &extent) || (List(path) && FindKnown(path, place, &extent));
}

/** The plain bytes of a chunk (`hash` is given) or a node; where they lie in what is stored, if they do. */
SharedBytes StoredBlobs::Decoded(const SharedBytes& stored, uint64_t plain_max, const uint8_t* hash) {
  const size_t length = BlobPlainLength(stored.data, stored.length, plain_max);
  if (IsPlainBlob(stored.data[0], stored.length, length)) {
    if (hash != nullptr) VerifiedInPlace(stored.data, stored.length, hash);
    return {stored.memory, stored.data + 1, length, stored.room};
  }
  const auto block = memory_.Take(length);
  DecodeBlob(stored.data, stored.length, block->bytes, length, hash);
  return {block, block->bytes, length, block->room};
}

/** The bytes of a place as they are stored; nothing when they are not on this machine. */
SharedBytes StoredBlobs::ReadStored(const Place& place) {
  if (form_ == Form::kNone || !CanBeHere(place)) return {};
  const std::string path = PathOf(place);
  if (form_ == Form::kPacks) {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    return file.get() < 0 ? SharedBytes{} : ReadFrom(file.get(), place.offset, place.length);
  }
  SharedBytes stored = ReadExtent(place, path);
  return stored || !List(path) ? stored : ReadExtent(place, path);
}

SharedBytes StoredBlobs::ReadExtent(const Place& place, const std::string& folder) {
  Extent extent;
  if (!FindKnown(folder, place, &extent)) return {};
  const std::string name = extent.is_part ? kPartName : std::to_string(extent.offset) + "-" + std::to_string(extent.length);
  const std::string path = folder + "/" + name;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  return file.get() < 0 ? SharedBytes{} : ReadFrom(file.get(), place.offset - extent.offset, place.length);
}

/** Bytes [offset, offset+length) of a file, past the page cache unless that has them; nothing when the file has them not. */
SharedBytes StoredBlobs::ReadFrom(int fd, uint64_t offset, uint64_t length) {
  const uint64_t from = offset / kDirectAlignment * kDirectAlignment;
  const uint64_t to = (offset + length + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
  const auto block = memory_.Take(to - from);
  SharedBytes read{block, block->bytes, length, block->room};
#ifdef O_DIRECT
  if (!IsCached(fd, offset, length) && fcntl(fd, F_SETFL, O_DIRECT) == 0) {
    ssize_t got;
    do got = pread(fd, block->bytes, to - from, static_cast<off_t>(from));
    while (got < 0 && errno == EINTR);
    read.data = block->bytes + (offset - from);
    if (got >= 0 && static_cast<uint64_t>(got) >= offset + length - from) return read;
    if (fcntl(fd, F_SETFL, 0) != 0) return {};
    read.data = block->bytes;
  }
#endif
  return ReadAt(fd, block->bytes, length, offset) ? read : SharedBytes{};
}

bool StoredBlobs::FindKnown(const std::string& folder, const Place& place, Extent* extent) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = packs_.find(folder);
  if (found == packs_.end()) return false;
  const Extent* shortest = nullptr;
  for (const Extent& each : found->second.extents) {
    if (each.offset > place.offset || each.offset + each.length < uint64_t{place.offset} + place.length) continue;
    if (shortest == nullptr || each.length < shortest->length) shortest = &each;
  }
  if (shortest != nullptr) *extent = *shortest;
  return shortest != nullptr;
}

/** A place has other bytes than it should. They are fetched anew, to an extent of their own where a long one is damaged. */
StoredBlobs::Outcome StoredBlobs::Damaged(const Place& place) {
  std::lock_guard<std::mutex> lock(mutex_);
  packs_.erase(PathOf(place));
  return Outcome::kDamaged;
}

bool StoredBlobs::List(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  DIR* const opened = fd < 0 ? nullptr : fdopendir(fd);
  if (opened == nullptr) {
    if (fd >= 0) close(fd);
    std::lock_guard<std::mutex> lock(mutex_);
    packs_.erase(folder);
    return false;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opened, closedir);
  Listed listed;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = packs_.find(folder);
    if (found != packs_.end()) listed = found->second;
  }
  const Clock::time_point now = Clock::now();
  if (listed.touched == Clock::time_point{} || now - listed.touched > kTouchEvery) {
    Touch(fd);
    listed.touched = now;
  }
  struct stat info;
  timespec clock;
  if (fstat(fd, &info) != 0 || clock_gettime(CLOCK_REALTIME, &clock) != 0) return false;
  const std::array<int64_t, 2> changed{info.st_ctim.tv_sec, info.st_ctim.tv_nsec};
  if (listed.settled && listed.changed == changed) return false;
  listed.changed = changed;
  listed.settled = (clock.tv_sec - changed[0]) * 1'000'000'000 + clock.tv_nsec - changed[1] > kUnsettledNs;
  listed.extents.clear();
  while (const dirent* entry = readdir(directory.get())) {
    if (const auto extent = ExtentOf(entry->d_name)) listed.extents.push_back({extent->first, extent->second});
    if (std::strcmp(entry->d_name, kPartName) != 0 || fstatat(fd, kPartName, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    listed.extents.push_back({0, static_cast<uint64_t>(info.st_size), true});
    // It grows, and the folder looks as before.
    listed.settled = false;
  }
  std::lock_guard<std::mutex> lock(mutex_);
  if (packs_.size() >= kPacksMax) packs_.clear();
  packs_[folder] = std::move(listed);
  return true;
}

std::string StoredBlobs::PathOf(const Place& place) const {
  const std::string pack = HexOf(place.pack, 16);
  return folder_ + (place.kind == Kind::kData ? "/data/" : "/meta/") + pack.substr(0, 2) + "/" + pack;
}
