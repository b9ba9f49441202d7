#include "segments.h"

#include <algorithm>
#include <cstring>

namespace {

/** The kernel sends the requests of one reader in any order, not further apart than this. */
constexpr uint64_t kSlackBytes = 512 << 10;
/** Who has read so much in order goes on so. */
constexpr uint64_t kInOrderBytes = 512 << 10;
/** So many segments are read ahead of a reader: fewer don't keep a disk busy. All readers share three quarters of what is kept. */
constexpr uint64_t kAheadMax = 3, kAheadOfAll = 12;
/** Who has not read for so many reads has gone. */
constexpr uint64_t kGoneReads = 256;

/** A name for a segment, as those want it who keep things by hash: the number takes the place of the hash's end. */
Segments::Hash NameOf(Segments::Hash hash, uint64_t segment) {
  std::memcpy(hash.data() + hash.size() - sizeof segment, &segment, sizeof segment);
  return hash;
}

}  // namespace

/** The reader who comes to this offset; else the place of the one who read longest ago. */
Segments::Reader* Segments::Find(uint64_t ino, uint64_t offset) {
  for (Reader& each : readers_) {
    if (each.ino == ino && offset + kSlackBytes >= each.next && offset <= each.next + kSlackBytes) return &each;
  }
  Reader* const oldest = std::min_element(readers_.begin(), readers_.end(), [](const Reader& a, const Reader& b) { return a.used < b.used; });
  *oldest = {ino, offset, 0, 0};
  return oldest;
}

uint64_t Segments::Active() const {
  return static_cast<uint64_t>(std::count_if(readers_.begin(), readers_.end(), [this](const Reader& each) {
    return each.bytes >= kInOrderBytes && each.used + kGoneReads > reads_;
  }));
}

Segments::Order Segments::Note(uint64_t ino, uint64_t offset, uint64_t end) {
  std::lock_guard<std::mutex> lock(mutex_);
  Reader* const reader = Find(ino, offset);
  const uint64_t segment = reader->next / kBytes;
  const bool went_on = reader->bytes >= kInOrderBytes;
  reader->next = std::max(reader->next, end);
  reader->bytes += end - offset;
  reader->used = ++reads_;
  if (reader->bytes < kInOrderBytes) return {};
  if (went_on && reader->next / kBytes == segment) return {true, 0};
  return {true, std::clamp<uint64_t>(kAheadOfAll / Active(), 1, kAheadMax)};
}

SharedBytes Segments::Get(const CacheFile& file, const Hash& hash, uint64_t segment) {
  const Hash name = NameOf(hash, segment);
  if (SharedBytes kept = kept_.Get(name.data())) return kept;
  const uint64_t offset = segment * kBytes;
  if (offset >= file.size()) return {};
  const Turns::Turn turn(turns_, name.data());
  if (SharedBytes kept = kept_.Get(name.data())) return kept;
  const size_t length = std::min(kBytes, file.size() - offset);
  const auto block = memory_.Take(kBytes);
  if (!file.ReadRight(offset, length, block->bytes)) return {};
  const SharedBytes bytes{block, block->bytes, length, block->room};
  kept_.Keep(name.data(), bytes);
  return bytes;
}

void Segments::Prepare(const CacheFile& file, const Hash& hash, uint64_t segment, uint64_t count) {
  for (uint64_t next = segment; next < segment + count; ++next) {
    if (!turns_.IsTaken(NameOf(hash, next).data())) Get(file, hash, next);
  }
}
