// What lies in the mount of this test: names, sizes and bytes that can be worked out anew.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../../data/hash.h"
#include "../../fuse/entries.h"
#include "../../fuse/abi.h"

namespace threads {

using Random = std::minstd_rand;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kFiles = 48, kLargeFiles = 4, kAskers = 6;
constexpr uint64_t kChunk = 200'000;  // does not end with a block
constexpr uint32_t kReadMax = 60'000;  // what a socket takes at once

inline std::atomic<bool> failed{false};

inline void Fail(const char* what) {
  std::fprintf(stderr, "threads: %s\n", what);
  failed = true;
}

inline uint64_t SizeOf(uint64_t file) { return file < kLargeFiles ? 3'000'000 + file : 500 + file; }
inline uint8_t ByteOf(uint64_t file, uint64_t at) { return static_cast<uint8_t>(file * 31 + at * 7 + at / 4096); }

inline std::vector<uint8_t> BytesOf(uint64_t file, uint64_t from, uint64_t to) {
  std::vector<uint8_t> bytes;
  for (uint64_t at = from; at < to; ++at) bytes.push_back(ByteOf(file, at));
  return bytes;
}

/** Small files are one chunk, and their hash is looked at. */
inline void HashInto(uint64_t file, uint8_t* hash) {
  std::memset(hash, static_cast<int>(file + 1), 32);
  if (file < kLargeFiles) return;
  const std::vector<uint8_t> bytes = BytesOf(file, 0, SizeOf(file));
  const Hash found = HashOf(Domain::kPlain, bytes.data(), bytes.size());
  std::memcpy(hash, found.data(), found.size());
}

/** Every other small file has a place in the one pack, whose id is zeros. */
inline bool IsStored(uint64_t file) { return file >= kLargeFiles && file % 2 == 0; }
inline uint32_t PlaceOf(uint64_t file) { return static_cast<uint32_t>(8 + file * 1000); }
inline uint32_t StoredLengthOf(uint64_t file) { return static_cast<uint32_t>(SizeOf(file) + 1); }

inline std::string NameOf(uint64_t file) {
  char name[8];
  std::snprintf(name, sizeof name, "f%03u", static_cast<unsigned>(file));
  return name;
}

inline Node NodeOf(uint64_t file) {
  Node node{};
  node.parent = fuse::kRootIno;
  node.ordinal = file;
  node.size = SizeOf(file);
  node.ref = file < kLargeFiles ? 2 : 1;
  HashInto(file, node.hash);
  if (!IsStored(file)) return node;
  node.place = 1;
  node.place_offset = PlaceOf(file);
  node.place_length = StoredLengthOf(file);
  return node;
}

inline Node Root() {
  Node node{};
  node.parent = fuse::kRootIno;
  node.kind = 1;
  node.ref = 2;
  std::memset(node.hash, 200, sizeof node.hash);
  return node;
}

inline void PutVarint(std::vector<uint8_t>* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<uint8_t>(value | 0x80));
  out->push_back(static_cast<uint8_t>(value));
}

/** The directory as a stored leaf (FORMAT.md section 5). */
inline std::vector<uint8_t> Leaf() {
  std::vector<uint8_t> out{1, 2, 0}, body;
  PutVarint(&out, kFiles);
  PutVarint(&body, kFiles);
  std::string last;
  for (uint32_t file = 0; file < kFiles; ++file) {
    uint8_t hash[32];
    HashInto(file, hash);
    out.push_back(file < kLargeFiles ? 1 : 0);
    out.insert(out.end(), hash, hash + sizeof hash);
    const std::string name = NameOf(file);
    size_t shared = 0;
    while (shared < last.size() && last[shared] == name[shared]) shared += 1;
    PutVarint(&body, shared);
    PutVarint(&body, name.size() - shared);
    body.insert(body.end(), name.begin() + static_cast<long>(shared), name.end());
    body.insert(body.end(), {static_cast<uint8_t>(file < kLargeFiles ? 16 : 8), 0, 0});
    PutVarint(&body, SizeOf(file));
    last = name;
  }
  PutVarint(&out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  out.push_back(1);
  out.insert(out.end(), 16, 0);
  for (uint32_t file = 0; file < kFiles; ++file) {
    out.push_back(IsStored(file) ? 1 : 0);
    if (!IsStored(file)) continue;
    PutVarint(&out, PlaceOf(file));
    PutVarint(&out, StoredLengthOf(file));
  }
  return out;
}

/** The directory as JavaScript hands entries over. */
inline std::vector<uint8_t> Entries(uint64_t from) {
  std::vector<uint8_t> out;
  for (uint64_t file = from; file < kFiles; ++file) {
    const Node node = NodeOf(file);
    const std::string name = NameOf(file);
    uint8_t head[EntryReader::kHeadBytes] = {};
    const double numbers[3] = {static_cast<double>(file), static_cast<double>(node.size), 0};
    std::memcpy(head, numbers, sizeof numbers);
    head[30] = node.ref;
    head[31] = node.place;
    std::memcpy(head + 32, node.hash, 32);
    std::memcpy(head + 80, &node.place_offset, sizeof node.place_offset);
    std::memcpy(head + 84, &node.place_length, sizeof node.place_length);
    head[88] = static_cast<uint8_t>(name.size());
    std::memcpy(head + 90, &kValidForEver, sizeof kValidForEver);
    const double next = static_cast<double>(file + 1);
    std::memcpy(head + 98, &next, sizeof next);
    out.insert(out.end(), head, head + sizeof head);
    out.insert(out.end(), name.begin(), name.end());
  }
  return out;
}

}  // namespace threads
