#include "cache_file.h"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "block_sum.h"

namespace {

/** A clock of the file system may stand still for so long: a later change would look like the last one. */
constexpr std::chrono::milliseconds kClockStep{20};

constexpr uint64_t kCheckBytes = 1 << 20;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/** While it lives nobody else opens the same file of checksums. */
class OpeningLock {
 public:
  explicit OpeningLock(int fd) : fd_(fd) {
    while (flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) Fail("flock");
    }
  }
  ~OpeningLock() { flock(fd_, LOCK_UN); }
  OpeningLock(const OpeningLock&) = delete;
  OpeningLock& operator=(const OpeningLock&) = delete;

 private:
  const int fd_;
};

}  // namespace

CacheFile::CacheFile(int data, int sums, uint64_t size, const Content& content, const Boot& boot) : size_(size), data_(data) {
  // Whoever comes second finds what the first has made of it.
  const OpeningLock lock(sums);
  sums_.emplace(sums, SumsFile::Owner{IdentityOf(data_.get()), content, size, blocks()}, boot);
  // Truncated only where it is needed: it would change the times of a sealed file.
  if (LengthOf(data_.get()) != size && ftruncate(data_.get(), static_cast<off_t>(size)) != 0) Fail("cache file");
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
  while (block * kBlock < limit && IsWhole(sums_->Get(block))) block += 1;
  return std::max(offset, std::min(limit, block * kBlock));
}

bool CacheFile::Has(uint64_t offset, uint64_t length) const {
  const uint64_t end = offset + length;
  auto is_present = [&](uint64_t from, uint64_t to) { return PresentUntil(from, to) >= to; };
  const uint64_t from = (offset + kBlock - 1) / kBlock * kBlock;
  const uint64_t to = end == size_ ? end : end / kBlock * kBlock;
  if (from > to) return is_present(offset, end);
  auto has_part = [&](uint64_t at, uint64_t until, bool second) {
    const uint32_t sum = sums_->Get(at / kBlock);
    return is_present(at, until) || (sum & (kPart | kSecond)) == (kPart | (second ? kSecond : 0));
  };
  return is_present(from, to) && (offset == from || has_part(offset, from, true)) && (to == end || has_part(to, end, false));
}

void CacheFile::Mark(uint64_t block, const uint8_t* bytes) {
  const uint32_t sum = SumOf(bytes, BlockEnd(block) - block * kBlock);
  uint32_t was = sums_->Get(block);
  while (!sums_->Replace(block, &was, sum)) continue;
}

void CacheFile::MarkPart(const BlockPart& part, bool rest_is_zeros) {
  if (rest_is_zeros) {
    uint8_t whole[kBlock] = {};
    std::memcpy(whole + part.from, part.bytes, part.length);
    return Mark(part.block, whole);
  }
  uint32_t was = sums_->Get(part.block);
  while (!sums_->Replace(part.block, &was, Joined(was, part))) continue;
}

/** The sum of a block once this part is there: that of the whole only if the rest is known and the disk still has it. */
uint32_t CacheFile::Joined(uint32_t known, const BlockPart& part) const {
  const bool second = part.from > 0;
  const uint32_t alone = PartSumOf(part.bytes, part.length, second);
  const bool rest_known = IsWhole(known) || (known != 0 && ((known & kSecond) != 0) != second);
  if (!rest_known) return alone;
  uint8_t whole[kBlock];
  const uint64_t start = part.block * kBlock, length = BlockEnd(part.block) - start;
  const uint64_t rest = second ? 0 : part.length, rest_length = second ? part.from : length - part.length;
  if (!ReadAt(data_.get(), whole + rest, rest_length, start + rest)) return alone;
  std::memcpy(whole + part.from, part.bytes, part.length);
  const uint32_t sum = SumOf(whole, length);
  const uint32_t compared = IsWhole(known) ? sum : PartSumOf(whole + rest, rest_length, !second);
  return compared == known ? sum : alone;
}

void CacheFile::Put(uint64_t offset, const uint8_t* bytes, uint64_t length, bool left, bool right, bool past) {
  if (length == 0) return;
  if (past) {
    WritePast(data_.get(), bytes, length, offset);
  } else {
    // The kernel lets one thread write to a file at a time, and the others spin: here they sleep.
    std::lock_guard<std::mutex> lock(writing_);
    WriteAt(data_.get(), bytes, length, offset);
  }
  const uint64_t end = offset + length;
  // With the blocks that the chunk shares with its neighbours.
  sums_->Reserve(offset / kBlock, (end - 1) / kBlock + 1);
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
  const bool whole = ReadAt(data_.get(), *buffer, to - from, from);
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

bool CacheFile::ReadRight(uint64_t offset, uint64_t length, uint8_t* into) const {
  const uint64_t end = offset + length;
  if (KeptUntil(offset, end) < end || !ReadPast(data_.get(), into, length, offset)) return false;
  for (uint64_t block = offset / kBlock; block * kBlock < end; ++block) {
    if (!IsRight(block, into + (block * kBlock - offset))) return false;
  }
  return true;
}

bool CacheFile::IsRight(uint64_t block, const uint8_t* bytes) const {
  return SumOf(bytes, BlockEnd(block) - block * kBlock) == sums_->Get(block);
}

/** Reads a block once more, since another process may just have mended it. False, and the block is forgotten, when it is damaged. */
bool CacheFile::Recheck(uint64_t block, uint8_t* bytes) {
  uint32_t wanted = sums_->Get(block);
  const uint64_t start = block * kBlock, length = BlockEnd(block) - start;
  if (!IsWhole(wanted)) return false;
  if (ReadAt(data_.get(), bytes, length, start) && SumOf(bytes, length) == wanted) return true;
  sums_->Replace(block, &wanted, 0);
  return false;
}

void CacheFile::Drop(uint64_t offset, uint64_t length) {
  sums_->Unseal();
  const uint64_t last = std::min(blocks(), (offset + length + kBlock - 1) / kBlock);
  for (uint64_t block = offset / kBlock; block < last; ++block) {
    uint32_t was = sums_->Get(block);
    // A sum that is 0 is not written: its page may be a hole, and is to stay one.
    while (was != 0 && !sums_->Replace(block, &was, 0)) continue;
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
    const bool whole = past ? ReadPast(data_.get(), buffer.get(), until - at, at) : ReadAt(data_.get(), buffer.get(), until - at, at);
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

bool CacheFile::Claim(uint64_t offset, uint64_t length) { return sums_->TryLock(offset, length); }
void CacheFile::Unclaim(uint64_t offset, uint64_t length) { sums_->Unlock(offset, length); }

bool CacheFile::Whole() {
  // Begins at the first gap of the last time, which most often is still there.
  const uint64_t until = KeptUntil(gap_, size_);
  gap_ = until < size_ ? until : KeptUntil(0, size_);
  return gap_ == size_;
}

CacheFile::Stamp CacheFile::Sync() {
  SyncFile(data_.get());
  return StampOf(data_.get());
}

bool CacheFile::Seal(const Stamp& stamp) {
  sums_->Sync();
  std::this_thread::sleep_for(kClockStep);
  if (!Whole() || StampOf(data_.get()) != stamp) return false;
  sums_->Seal(stamp);
  return true;
}

bool CacheFile::Sealed() const {
  const std::optional<Stamp> stamp = sums_->sealed();
  if (!stamp) return false;
  try {
    return *stamp == StampOf(data_.get());
  } catch (const std::system_error&) {
    return false;
  }
}
