// Memory that many results share, and the Buffers over it.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

/** Memory that lives as long as anyone refers to it. */
using Slab = std::shared_ptr<uint8_t>;

/** Slabs of this length, of half and of an eighth of it are used again, so that their pages need not be made anew. */
constexpr size_t kSlabMax = 8 << 20;

/** A slab of `length` bytes, not initialised; it begins with a page. Throws std::bad_alloc. */
Slab AllocateSlab(size_t length);

/** The bytes from `begin` to `end` of a slab; no slab, no bytes. */
struct Part {
  Slab slab;
  size_t begin;
  size_t end;
};

/** Parts up to this length are copied, lest one that is kept long keeps a whole slab. */
constexpr size_t kCopiedUpTo = 1024;

/**
 * A Buffer for each part (undefined for one without a slab). Parts of one slab stand together and in
 * order: they share an ArrayBuffer over it, without a copy, which V8 counts and whose collection
 * frees the slab. Parts up to `copied_up_to` bytes are copied.
 */
std::vector<Napi::Value> ShareParts(Napi::Env env, const std::vector<Part>& parts,
                                    size_t copied_up_to = kCopiedUpTo);

/** Cuts a Buffer into Buffers over the same bytes. */
class Slicer {
 public:
  explicit Slicer(Napi::Object whole);
  Napi::Value Slice(size_t begin, size_t end) const;

 private:
  Napi::Object whole_;
  Napi::Function subarray_;
};
