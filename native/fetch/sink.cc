#include "sink.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "../common/file_io.h"
#include "../data/blob.h"
#include "../data/errors.h"

namespace {

/** A single chunk is what a reader of scattered ranges waits for: it is written at once, without a run. */
constexpr size_t kPiecesMin = 2;

/** Bytes hashed in one step: enough to hash several blocks side by side, and few enough to be still in the processor's cache. */
constexpr size_t kHashedBytes = 64 << 10;

/** Where plain bytes lie in memory that has the object as it is stored; nothing where some are compressed, or too much lies between. */
std::vector<Run::Place> PlacesAsStored(const std::vector<FetchPiece>& pieces) {
  std::vector<Run::Place> places;
  const uint64_t begin = pieces.front().stored_offset;
  if (pieces.back().stored_offset + pieces.back().stored_length - begin > Rooms::kRunBytes) return {};
  for (const FetchPiece& piece : pieces) {
    if (piece.stored_length != BlobBound(piece.plain_length)) return {};
    const uint64_t plain = piece.stored_offset + (piece.stored_length - piece.plain_length);
    places.push_back({piece.file_offset, begin % kDirectAlignment + (plain - begin)});
  }
  return places;
}

/** A run for pieces that follow each other in the file; null when they don't, or there is no room. */
std::shared_ptr<Run> RunFor(const Transfer& transfer, std::vector<Run::Place> places, Rooms* rooms) {
  const std::vector<FetchPiece>& pieces = transfer.pieces;
  if (pieces.size() < kPiecesMin) return nullptr;
  const uint64_t begin = pieces.front().file_offset;
  uint64_t end = begin;
  for (const FetchPiece& piece : pieces) {
    if (piece.file_offset != end) return nullptr;
    end += piece.plain_length;
  }
  if (end - begin > Rooms::kRunBytes) return nullptr;
  // Bytes from a server go past the page cache: the disk is free then, and the page cache has better uses.
  const bool past = !transfer.server.url.empty();
  return rooms->Begin(begin, end, past, std::move(places), transfer.file->runs(), !(transfer.urgent && transfer.held));
}

}  // namespace

void Buffers::Freed::operator()(uint8_t* bytes) const { std::free(bytes); }

uint8_t* Buffers::Room(size_t length) {
  if (length > room_bytes_) {
    room_bytes_ = (length + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
    room_.reset(static_cast<uint8_t*>(std::aligned_alloc(kDirectAlignment, room_bytes_)));
    if (!room_) throw std::bad_alloc();
  }
  return room_.get();
}

Sink::Sink(const Transfer& transfer, Rooms* rooms) : transfer_(transfer), at_(transfer.pieces.front().stored_offset) {
  // What comes from a server is written from blocks of memory that are those of the file.
  std::vector<Run::Place> places;
  if (transfer.server.url.empty()) places = PlacesAsStored(transfer.pieces);
  const bool as_stored = !places.empty();
  run_ = RunFor(transfer, std::move(places), rooms);
  as_stored_ = run_ && as_stored;
}

Sink::~Sink() {
  if (!run_) return;
  // Bytes that the disk did not take stay readable here too, until the room is needed.
  if (transfer_.held) transfer_.file->runs()->Done(run_.get());
  else transfer_.file->runs()->Remove(run_.get());
}

void Sink::Take(const uint8_t* bytes, size_t length) {
  received += length;
  while (length > 0 && landed < transfer_.pieces.size()) {
    const FetchPiece& piece = transfer_.pieces[landed];
    if (at_ < piece.stored_offset) {
      Advance(&bytes, &length, std::min<uint64_t>(length, piece.stored_offset - at_));
      continue;
    }
    // A chunk that came in one piece is used where it lies, without a copy.
    if (!run_ && filled_ == 0 && length >= piece.stored_length) {
      Land(piece, bytes);
      Advance(&bytes, &length, piece.stored_length);
      continue;
    }
    const size_t more = std::min<size_t>(length, piece.stored_length - filled_);
    TakePart(piece, bytes, more);
    Advance(&bytes, &length, more);
    if (filled_ < piece.stored_length) continue;
    if (straight_) {
      if (FinishHash(hasher_) != piece.hash) throw DamagedError("chunk: its bytes have another hash");
      Landed(piece);
    } else {
      Land(piece, buffers_->stored.data());
    }
  }
}

void Sink::Came(uint64_t stored_end) {
  received = stored_end - transfer_.pieces.front().stored_offset;
  while (landed < transfer_.pieces.size()) {
    const FetchPiece& piece = transfer_.pieces[landed];
    if (piece.stored_offset + piece.stored_length > stored_end) return;
    const uint8_t* plain = run_->At(piece.file_offset);
    if (VerifiedInPlace(plain - (piece.stored_length - piece.plain_length), piece.stored_length, piece.hash.data()) != plain) {
      throw DamagedError("chunk: it has another length");
    }
    Landed(piece);
  }
}

void Sink::Finish() {
  if (!run_ || landed == 0 || !transfer_.kept) return;
  const uint64_t end = run_->landed;
  for (uint64_t at = run_->begin; at < end;) {
    const uint64_t until = std::min(end, run_->TogetherUntil(at));
    const bool left = at == run_->begin && transfer_.pieces.front().left;
    transfer_.file->Put(at, run_->At(at), until - at, left, until == run_->end && transfer_.pieces.back().right, run_->past);
    at = until;
  }
}

void Sink::Advance(const uint8_t** bytes, size_t* length, size_t by) {
  *bytes += by;
  *length -= by;
  at_ += by;
}

void Sink::TakePart(const FetchPiece& piece, const uint8_t* bytes, size_t length) {
  if (filled_ == 0) {
    straight_ = run_ && IsPlainBlob(bytes[0], piece.stored_length, piece.plain_length);
    hasher_ = StartHash(Domain::kPlain);
    hashed_ = 0;
  }
  if (straight_) {
    // All but the first byte, which says that it is not compressed.
    const size_t skipped = filled_ == 0 ? 1 : 0;
    uint8_t* const plain = run_->At(piece.file_offset);
    std::memcpy(plain + (filled_ + skipped - 1), bytes + skipped, length - skipped);
    const size_t there = filled_ + length - 1;
    const size_t until = there == piece.plain_length ? there : there / kHashedBytes * kHashedBytes;
    blake3_hasher_update(&hasher_, plain + hashed_, until - hashed_);
    hashed_ = until;
  } else {
    if (buffers_->stored.size() < piece.stored_length) buffers_->stored.resize(piece.stored_length);
    std::memcpy(buffers_->stored.data() + filled_, bytes, length);
  }
  filled_ += length;
}

void Sink::Land(const FetchPiece& piece, const uint8_t* stored) {
  if (BlobPlainLength(stored, piece.stored_length, piece.plain_length) != piece.plain_length) {
    throw DamagedError("chunk: it has another length");
  }
  if (run_) {
    DecodeBlob(stored, piece.stored_length, run_->At(piece.file_offset), piece.plain_length, piece.hash.data());
    return Landed(piece);
  }
  const uint8_t* plain = VerifiedInPlace(stored, piece.stored_length, piece.hash.data());
  if (plain == nullptr) {
    if (buffers_->plain.size() < piece.plain_length) buffers_->plain.resize(piece.plain_length);
    DecodeBlob(stored, piece.stored_length, buffers_->plain.data(), piece.plain_length, piece.hash.data());
    plain = buffers_->plain.data();
  }
  transfer_.file->Put(piece.file_offset, plain, piece.plain_length, piece.left, piece.right);
  Landed(piece);
}

void Sink::Landed(const FetchPiece& piece) {
  filled_ = 0;
  if (run_) run_->landed.store(piece.file_offset + piece.plain_length, std::memory_order_release);
  landed += 1;
  transfer_.landed(landed - 1);
}
