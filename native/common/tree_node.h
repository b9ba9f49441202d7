// Nodes of directories and of file lists as they are stored (FORMAT.md section 5), read one item after
// another. These readers are for speed only. What they do not understand goes to the reader in
// src/model, which says what is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/** A node's head and places, and the bytes of its items, which the readers below take one by one. */
class StoredNode {
 public:
  struct Ref {
    uint8_t type;  // 0 chunk, 1 node; 2 names bytes outside of the store, only in entries
    bool has_place;
    const uint8_t* hash;  // 32 bytes
    const uint8_t* pack;  // 16 bytes, where there is a place
    uint32_t offset, length;
  };

  uint8_t level() const { return level_; }
  uint64_t count() const { return count_; }
  /** After the last item: true when nothing was wrong. */
  bool Sound() const { return !wrong_ && read_ == count_ && taken_ == refs_.size() && at_ == body_end_; }

 protected:
  /** The bytes of a node, which must outlive this. */
  StoredNode(const uint8_t* bytes, size_t length) : at_(bytes), end_(bytes + length) {}

  /** False unless it is a node of this kind with at most so many items. They follow. */
  bool Begin(uint8_t kind, uint64_t count_max);
  bool Fail() {
    wrong_ = true;
    return false;
  }
  bool U8(uint8_t* value);
  bool Varint(uint64_t* value);
  bool Raw(size_t length, const uint8_t** bytes);
  bool NextName(std::string* name);
  bool TakeRef(uint8_t type, const Ref** ref);
  /** False when there is no item left. */
  bool HasNext() const { return !wrong_ && read_ < count_; }

  uint64_t read_ = 0;

 private:
  bool ReadHints();

  const uint8_t* at_;
  const uint8_t* end_;
  const uint8_t* body_end_ = nullptr;
  std::vector<Ref> refs_;
  std::string last_;
  uint64_t count_ = 0;
  size_t taken_ = 0;
  uint8_t level_ = 0;
  bool wrong_ = false;
};

class TreeLeaf : public StoredNode {
 public:
  enum Form : uint8_t { kInline, kChunk, kList, kDirectory, kReference };

  struct Entry {
    std::string name;
    uint8_t kind;  // 0 file, 1 directory, 2 symlink
    Form form;
    bool executable;
    int64_t mtime_seconds;
    uint32_t mtime_nanoseconds;
    uint64_t size;  // of a file's content; of a directory 0
    const Ref* ref;
    const uint8_t* bytes;  // of inline content
  };

  /** The bytes of a node, which must outlive this. */
  TreeLeaf(const uint8_t* bytes, size_t length) : StoredNode(bytes, length) {}

  /** False unless it is a leaf of a directory as writers write it. Its entries follow, by Next. */
  bool Begin();
  /** The next entry; false at the end, and when something is wrong, which Sound tells. */
  bool Next(Entry* entry);

 private:
  /** What the entry read last names, where that is no ref of the node. */
  Ref reference_{};
};

/** A node of a directory above its leaves. */
class TreeInner : public StoredNode {
 public:
  struct Item {
    std::string last;  // name below it
    uint64_t entries;
    const Ref* ref;
  };

  TreeInner(const uint8_t* bytes, size_t length) : StoredNode(bytes, length) {}

  /** False for a leaf, and for what is no node of a directory. */
  bool Begin();
  bool Next(Item* item);
};

/** The one leaf of a short list: the chunks of a file of a few of them. */
class ListLeaf : public StoredNode {
 public:
  struct Item {
    uint64_t length;
    const Ref* ref;  // null: a hole
  };

  ListLeaf(const uint8_t* bytes, size_t length) : StoredNode(bytes, length) {}

  bool Begin();
  bool Next(Item* item);
};

/** How many of a node's first bytes its hash is of; 0 when it is none. */
size_t NamedLength(const uint8_t* bytes, size_t length);
