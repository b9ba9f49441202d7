// Stored bytes of chunks and nodes: section 3 of the stored format.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slab.h"

/** The most bytes that EncodeBlob writes for `length` plain bytes. */
constexpr size_t BlobBound(size_t length) { return length + 1; }

/** Writes the compressed blob of `length` plain bytes to `out`, and returns its length; 0 when that does not pay. */
size_t CompressBlob(const uint8_t* plain, size_t length, uint8_t* out);

/** Writes the blob of `length` plain bytes to `out`, and returns its length. */
size_t EncodeBlob(const uint8_t* plain, size_t length, uint8_t* out);

/** How many plain bytes a blob says it has. Throws DamagedError; at most `plain_max` otherwise. */
size_t BlobPlainLength(const uint8_t* stored, size_t length, uint64_t plain_max);

/** True when a blob that begins with this byte and has these lengths is that byte and the plain bytes. */
bool IsPlainBlob(uint8_t first, size_t length, size_t plain_length);

/**
 * Writes the plain bytes of a blob whose BlobPlainLength is `plain_length`. With `hash` (32 bytes)
 * their plain hash must be that. Throws DamagedError.
 */
void DecodeBlob(const uint8_t* stored, size_t length, uint8_t* plain, size_t plain_length, const uint8_t* hash);

/**
 * The plain bytes of a blob that is not compressed, where they lie in it; null for others. Their
 * plain hash must be `hash`, else it throws DamagedError.
 */
const uint8_t* VerifiedInPlace(const uint8_t* stored, size_t length, const uint8_t* hash);
