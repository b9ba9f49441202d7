// The rolling hash that finds the ends of chunks: FastCDC's, with a table of our own.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr size_t kChunkMin = 262144;
constexpr size_t kChunkAverage = 1048576;
constexpr size_t kChunkMax = 4194304;

/**
 * Goes on from position `at` of a chunk of which `length` bytes are there, and moves `at` and
 * `rolling`. Returns the chunk's length, or 0 when it does not end within these bytes.
 */
size_t FindChunkEnd(const uint8_t* chunk, size_t length, size_t& at, uint64_t& rolling);
