// Cutting a byte stream into chunks and holes: section 2 of the stored format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hash.h"
#include "slab.h"

/** A piece of the stream. A hole has no slab. */
struct Piece {
  uint64_t length;
  Slab slab;
  size_t offset;
  Hash hash;
};

/**
 * The pieces depend on the stream's bytes alone, not on how they are fed. Bytes are copied or
 * read once into slabs of a few MiB, and the chunks are parts of those. Zeros at the end of what
 * has been fed are only counted, for they may become a hole: a hole costs nothing, however long.
 */
class Cut {
 public:
  void Push(const uint8_t* data, size_t length, std::vector<Piece>& out);

  /**
   * Feeds up to `length` bytes of a file from `offset`, and returns how many there were: fewer at
   * the file's end. Moves the descriptor's own offset. Throws SystemError.
   */
  uint64_t PushFile(int fd, uint64_t offset, uint64_t length, std::vector<Piece>& out);

  /** Ends the stream. */
  void End(std::vector<Piece>& out);

 private:
  uint8_t* Room(size_t& length);
  void Take(size_t length, std::vector<Piece>& out);
  void TakeZeros(uint64_t count, std::vector<Piece>& out);
  uint64_t PushExtent(int fd, uint64_t offset, uint64_t end, std::vector<Piece>& out);
  void EndZeros(std::vector<Piece>& out);
  void EndStretch(std::vector<Piece>& out);
  void Scan(std::vector<Piece>& out);
  void EmitChunk(size_t length, std::vector<Piece>& out);
  size_t HeldZeros() const;

  // slab_[start_, end_) is the chunk that is not finished, without the zeros held back.
  Slab slab_;
  size_t capacity_ = 0;
  size_t start_ = 0;
  size_t end_ = 0;
  // Where in the chunk the search for its end goes on, and the rolling hash there.
  size_t scanned_ = 0;
  uint64_t rolling_ = 0;
  // Zeros after end_. From kHole on they are a hole, and the stretch before them has ended.
  uint64_t zeros_ = 0;
};
