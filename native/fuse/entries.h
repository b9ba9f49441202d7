// Entries as JavaScript hands them over: 106 bytes each, then the name. Doubles, because they are
// what JavaScript writes fastest; all below 2^53, or infinite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "inode_table.h"

/** Of what never changes, as everything below a stored directory. */
constexpr double kValidForEver = std::numeric_limits<double>::infinity();

struct Entry {
  Node node;
  const char* name;
  uint16_t name_length;
  /** For how long the kernel need not ask again which node has this name, in milliseconds. */
  double valid_ms;
  /** Where the list goes on after it. */
  uint64_t next;
};

/** `valid_ms` of an entry in a list of which only the name is told. */
constexpr double kNameOnly = -1;

class EntryReader {
 public:
  static constexpr size_t kHeadBytes = 106;

  EntryReader(const uint8_t* bytes, size_t length) : at_(bytes), end_(bytes + length) {}

  /** The next entry (its parent is not set), or false at the end. */
  bool Next(Entry* entry) {
    if (static_cast<size_t>(end_ - at_) < kHeadBytes) return false;
    Node& node = entry->node;
    node.parent = node.path = 0;
    node.ordinal = static_cast<uint64_t>(Take<double>(0));
    node.size = static_cast<uint64_t>(Take<double>(8));
    node.mtime_seconds = static_cast<int64_t>(Take<double>(16));
    node.mtime_nanoseconds = Take<uint32_t>(24);
    node.kind = at_[28];
    node.executable = at_[29];
    node.ref = at_[30];
    node.place = at_[31];
    std::memcpy(node.hash, at_ + 32, 32);
    std::memcpy(node.pack, at_ + 64, 16);
    node.place_offset = Take<uint32_t>(80);
    node.place_length = Take<uint32_t>(84);
    entry->name_length = Take<uint16_t>(88);
    entry->valid_ms = Take<double>(90);
    entry->next = static_cast<uint64_t>(Take<double>(98));
    if (static_cast<size_t>(end_ - at_) < kHeadBytes + entry->name_length) return false;
    entry->name = reinterpret_cast<const char*>(at_ + kHeadBytes);
    at_ += kHeadBytes + entry->name_length;
    return true;
  }

 private:
  template <class T>
  T Take(size_t offset) const {
    T value;
    std::memcpy(&value, at_ + offset, sizeof value);
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};
