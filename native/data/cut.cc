#include "cut.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "errors.h"
#include "gear.h"
#include "zeros.h"

namespace {

constexpr uint64_t kHole = 1048576;
// A chunk, the zeros that may follow it and some room to read into fit a slab.
constexpr size_t kRoomMin = 65536;
static_assert(kChunkMax + kHole + kRoomMin < kSlabMax);
// How far behind its size a file is read, where nothing else tells its end.
constexpr uint64_t kProbe = 65536;

/** Bytes from `begin` to `end` of a file are data, those before `begin` zeros. */
struct Extent {
  uint64_t begin;
  uint64_t end;
};

uint64_t FileSize(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) throw SystemError(errno, "fstat");
  return static_cast<uint64_t>(status.st_size);
}

/**
 * The first data at or behind `offset`; at the file's end, an empty extent there. Where the file
 * system does not tell, or tells no size, reading finds the end.
 */
Extent NextExtent(int fd, uint64_t offset) {
#ifdef SEEK_DATA
  const off_t begin = lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (begin >= 0) {
    const off_t end = lseek(fd, begin, SEEK_HOLE);
    if (end > begin) return {static_cast<uint64_t>(begin), static_cast<uint64_t>(end)};
  } else if (errno == ENXIO) {
    const uint64_t size = std::max(offset, FileSize(fd));
    return {size, size};
  } else if (errno != EINVAL && errno != ENOTSUP) {
    throw SystemError(errno, "lseek");
  }
#endif
  return {offset, std::max(offset + kProbe, FileSize(fd))};
}

}  // namespace

/** How many zeros are held back that are no hole yet. */
size_t Cut::HeldZeros() const { return zeros_ < kHole ? static_cast<size_t>(zeros_) : 0; }

/**
 * Room behind the zeros held back: for `length` bytes, or for fewer, which it then says. When the
 * slab is full, the unfinished chunk moves to a new one of twice the size, so that many small pushes
 * do not move it often.
 */
uint8_t* Cut::Room(size_t& length) {
  const size_t held = HeldZeros();
  if (end_ + held + std::min(length, kRoomMin) > capacity_) {
    const size_t carried = end_ - start_;
    const size_t needed = carried + held + std::min(length, kSlabMax);
    const size_t capacity = std::min(2 * std::max(needed, capacity_), kSlabMax);
    Slab slab = AllocateSlab(capacity);
    if (carried > 0) std::memcpy(slab.get(), slab_.get() + start_, carried);
    slab_ = slab;
    capacity_ = capacity;
    start_ = 0;
    end_ = carried;
  }
  length = std::min(length, capacity_ - end_ - held);
  return slab_.get() + end_ + held;
}

void Cut::EmitChunk(size_t length, std::vector<Piece>& out) {
  out.push_back({length, slab_, start_, HashOf(Domain::kPlain, slab_.get() + start_, length)});
  start_ += length;
  scanned_ = 0;
  rolling_ = 0;
}

void Cut::Scan(std::vector<Piece>& out) {
  while (end_ > start_) {
    const size_t length = FindChunkEnd(slab_.get() + start_, end_ - start_, scanned_, rolling_);
    if (length == 0) return;
    EmitChunk(length, out);
  }
}

void Cut::EndStretch(std::vector<Piece>& out) {
  if (end_ > start_) EmitChunk(end_ - start_, out);
}

/** Counts zeros; when they become a hole, what is before them ends. */
void Cut::TakeZeros(uint64_t count, std::vector<Piece>& out) {
  const bool hole = zeros_ >= kHole;
  zeros_ += count;
  if (!hole && zeros_ >= kHole) EndStretch(out);
}

/** Called when a byte that is not zero follows, or the end: decides whether the zeros counted are a hole. */
void Cut::EndZeros(std::vector<Piece>& out) {
  if (zeros_ >= kHole) {
    out.push_back({zeros_, nullptr, 0, {}});
  } else {
    std::memset(slab_.get() + end_, 0, static_cast<size_t>(zeros_));
    end_ += static_cast<size_t>(zeros_);
  }
  zeros_ = 0;
}

/** Takes the `length` bytes that were placed where Room(length) told. */
void Cut::Take(size_t length, std::vector<Piece>& out) {
  const uint8_t* bytes = slab_.get();
  size_t at = end_ + HeldZeros();
  const size_t stop = at + length;
  while (at < stop) {
    // Here all bytes before `at` are accounted for, those of zeros_ included.
    const size_t leading = LeadingZeros(bytes + at, stop - at);
    TakeZeros(leading, out);
    at += leading;
    if (at == stop) return;
    const bool hole = zeros_ >= kHole;
    EndZeros(out);
    if (hole) start_ = end_ = at;
    const ZeroRun run = FindZeroRun(bytes + at, stop - at, kHole);
    end_ = at + run.begin;
    Scan(out);
    at += run.begin;
  }
}

void Cut::Push(const uint8_t* data, size_t length, std::vector<Piece>& out) {
  // Zeros that follow on zeros need no room.
  if (zeros_ > 0) {
    const size_t leading = LeadingZeros(data, length);
    TakeZeros(leading, out);
    data += leading;
    length -= leading;
  }
  while (length > 0) {
    size_t block = length;
    uint8_t* room = Room(block);
    std::memcpy(room, data, block);
    Take(block, out);
    data += block;
    length -= block;
  }
}

/** Reads the bytes of a file from `offset` to `end`, and returns where it has ended. */
uint64_t Cut::PushExtent(int fd, uint64_t offset, uint64_t end, std::vector<Piece>& out) {
  while (offset < end) {
    size_t block = static_cast<size_t>(std::min<uint64_t>(end - offset, kSlabMax));
    uint8_t* room = Room(block);
    const ssize_t got = pread(fd, room, block, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError(errno, "pread");
    if (got == 0) break;
    Take(static_cast<size_t>(got), out);
    offset += static_cast<uint64_t>(got);
  }
  return offset;
}

uint64_t Cut::PushFile(int fd, uint64_t offset, uint64_t length, std::vector<Piece>& out) {
  const uint64_t stop = offset + length;
  uint64_t at = offset;
  while (at < stop) {
    const Extent extent = NextExtent(fd, at);
    const uint64_t begin = std::min(extent.begin, stop);
    TakeZeros(begin - at, out);
    at = begin;
    if (extent.begin == extent.end) break;
    const uint64_t end = std::min(extent.end, stop);
    at = PushExtent(fd, at, end, out);
    if (at < end) break;
  }
  return at - offset;
}

void Cut::End(std::vector<Piece>& out) {
  if (zeros_ > 0) {
    size_t none = 0;
    Room(none);
    EndZeros(out);
  }
  Scan(out);
  EndStretch(out);
  slab_ = nullptr;
  capacity_ = start_ = end_ = 0;
}
