// Makes chunks of a transfer's bytes: each is verified as soon as it is whole, and goes into a run or
// into the file. Used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../data/hash.h"
#include "fetch.h"

/** Memory that a thread keeps for its next transfer, because fresh pages cost more than what is done with them. */
struct Buffers {
  std::vector<uint8_t> stored, plain;
  /** Aligned memory for so many bytes, the same as before where that was enough. */
  uint8_t* Room(size_t length);

 private:
  struct Freed {
    void operator()(uint8_t* bytes) const;
  };
  std::unique_ptr<uint8_t, Freed> room_;
  size_t room_bytes_ = 0;
};

/** Takes an object's bytes as they come and puts each chunk where it belongs. */
class Sink {
 public:
  Sink(const Transfer& transfer, Rooms* rooms);
  ~Sink();
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /** Must come before Take; the memory must outlive the last Take. */
  void Begin(Buffers* buffers) { buffers_ = buffers; }
  /** Throws what is wrong with a chunk or with the file. */
  void Take(const uint8_t* bytes, size_t length);
  /**
   * Memory for the object from the block on where its first chunk begins, when the chunks can be read
   * where they lie in it; `Came` is told then how far it is there, at most to the end of the last. Null when they must be taken.
   */
  uint8_t* Stored() const { return as_stored_ ? run_->room() : nullptr; }
  void Came(uint64_t stored_end);
  /** Puts into the file what lies in the run, if it is to be kept. Throws std::system_error. */
  void Finish();

  size_t landed = 0;
  uint64_t received = 0;

 private:
  void Advance(const uint8_t** bytes, size_t* length, size_t by);
  void TakePart(const FetchPiece& piece, const uint8_t* bytes, size_t length);
  void Land(const FetchPiece& piece, const uint8_t* stored);
  void Landed(const FetchPiece& piece);

  const Transfer& transfer_;
  Buffers* buffers_ = nullptr;
  std::shared_ptr<Run> run_;
  bool as_stored_ = false;
  uint64_t at_;
  /** Stored bytes of the next piece that have come, and whether they go straight to the run. */
  size_t filled_ = 0;
  bool straight_ = false;
  /** Of the bytes that went there: hashed while the processor still has them at hand. */
  blake3_hasher hasher_;
  size_t hashed_ = 0;
};
