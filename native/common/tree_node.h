// Leaves of directories as they are stored (FORMAT.md section 5), read one entry after another. This
// reader is for speed only. What it does not understand goes to the reader in src/model, which says
// what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

class TreeLeaf {
 public:
  enum Form : uint8_t { kInline, kChunk, kList, kDirectory };

  struct Ref {
    uint8_t type;  // 0 chunk, 1 node
    bool has_place;
    const uint8_t* hash;  // 32 bytes
    const uint8_t* pack;  // 16 bytes, where there is a place
    uint32_t offset, length;
  };

  struct Entry {
    std::string name;
    uint8_t kind;  // 0 file, 1 directory, 2 symlink
    Form form;
    bool executable;
    int64_t mtime_seconds;
    uint32_t mtime_nanoseconds;
    uint64_t size;  // of a file's content; of a directory 0
    const Ref* ref;
  };

  /** The bytes of a node, which must outlive this. */
  TreeLeaf(const uint8_t* bytes, size_t length) : at_(bytes), end_(bytes + length) {}

  /** False unless it is a leaf of a directory as writers write it. Its entries follow, by Next. */
  bool Begin();
  uint64_t count() const { return count_; }
  /** The next entry; false at the end, and when something is wrong, which Sound tells. */
  bool Next(Entry* entry);
  /** After the last entry: true when nothing was wrong. */
  bool Sound() const { return !wrong_ && read_ == count_ && taken_ == refs_.size() && at_ == body_end_; }

 private:
  bool Fail() {
    wrong_ = true;
    return false;
  }
  bool U8(uint8_t* value);
  bool Varint(uint64_t* value);
  bool Raw(size_t length, const uint8_t** bytes);
  bool ReadHints();
  bool NextName(std::string* name);

  const uint8_t* at_;
  const uint8_t* end_;
  const uint8_t* body_end_ = nullptr;
  std::vector<Ref> refs_;
  std::string last_;
  uint64_t count_ = 0, read_ = 0;
  size_t taken_ = 0;
  bool wrong_ = false;
};

/** How many of a node's first bytes its hash is of; 0 when it is none. */
size_t NamedLength(const uint8_t* bytes, size_t length);
