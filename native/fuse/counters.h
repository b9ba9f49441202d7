// What happened on one connection. Any thread counts, JavaScript reads.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

struct Counters {
  /** By the kernel's opcode. */
  std::array<std::atomic<uint64_t>, 64> requests{};
  std::atomic<uint64_t> replies{0}, reply_errors{0}, interrupts{0}, bytes_read{0}, ring_max{0};
  /** Reads answered from attached files; those that found damaged bytes there; opens for which a file was lent. */
  std::atomic<uint64_t> local_reads{0}, damaged_reads{0}, passthrough_opens{0};
  /** Lookups, listings and reads of small files answered from kept bytes, and reads answered from stored blobs. */
  std::atomic<uint64_t> kept_answers{0}, stored_reads{0};
  /** Requests that only JavaScript can answer. */
  std::atomic<uint64_t> decided{0};
};
