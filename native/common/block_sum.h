// The 32 bits that stand for a block of a cache file, which say what is known of it:
//
//             a chunk that is the whole block, or a part whose rest is zeros
//      ┌──────────────────────────────────────────────────────────────────────┐
//      │                                                                      ▼
//   absent ── first part of the block ──▶ kPart ───────── second part ────▶ whole
//   (0)    ── second part ──────────▶ kPart | kSecond ─── first part ─────▶ whole
//      ▲                                                                      │
//      └────────── dropped, or the bytes on the disk are damaged ─────────────┘
//
// The other part makes a block whole only when the part on the disk still has the sum that stands
// there. If not, the block goes over to the new part alone.
#pragma once

#include <cstddef>
#include <cstdint>

/** Only a part of the block is known; and then, that it is the second one. */
constexpr uint32_t kPart = 1u << 31, kSecond = 1u << 30;

inline bool IsWhole(uint32_t sum) { return sum != 0 && (sum & kPart) == 0; }

/** Of a whole block. Never 0, which stands for an absent one. */
uint32_t SumOf(const uint8_t* bytes, size_t length);
uint32_t PartSumOf(const uint8_t* bytes, size_t length, bool second);
