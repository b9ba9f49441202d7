// Answers from verified bytes of stored trees and files, each by the hash that names it: what JavaScript
// has left here (leaves that are a whole directory, chunks that are a whole file), and what lies on this
// machine as it is stored (stored_blobs.h). Of that, nodes are kept while there is room, and chunks of
// which a reader took a part only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include "../common/tree_node.h"
#include "channel.h"
#include "entry_writer.h"
#include "inode_table.h"
#include "kept_bytes.h"
#include "requests.h"
#include "stored_blobs.h"
#include "turns.h"

/** Its mutex is held alone, as those of KeptBytes, InodeTable and StoredBlobs are. */
class KeptAnswers {
 public:
  KeptAnswers(InodeTable& table, EntryWriter& entries, Channel& channel, StoredBlobs& blobs, Counters& counters, const Wake& wake);

  /**
   * Keeps a leaf that is all of the directory with this hash, while there is room. False when it is not
   * understood.
   */
  bool KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length);
  /** Keeps the content of files that are the one chunk with this hash, while there is room. */
  void KeepChunk(const uint8_t* hash, const uint8_t* bytes, size_t length) { chunks_.Keep(hash, CopyOf(bytes, length)); }

  /** Answers a lookup or listing that JavaScript has, from what is kept; `take` gives the kernel's number. False when it is not kept. */
  bool AnswerKept(const Request& request, const std::function<std::optional<uint64_t>()>& take);
  /** Answers a lookup, listing or read that came just now; false when what it needs is not on this machine. */
  bool Answer(uint64_t unique, const Request& request);
  /** True when reads of this file can be answered from what lies on this machine as it is stored. */
  bool HasFile(uint64_t ino);

  /** Has JavaScript told, once, of a request that is answered here for the directory or file with this hash. */
  void Watch(const uint8_t* hash);
  /** Has JavaScript told of the next so many requests that are answered from the disk. */
  void Hear(uint32_t count) { hearing_ = count; }
  struct Met {
    Request request;
    bool watched;
  };
  /** What JavaScript is to be told. */
  std::vector<Met> DrainMet();

 private:
  /** A leaf of a directory, and the ordinal of its first entry. */
  struct Leaf {
    SharedBytes bytes;
    uint64_t first;
  };
  /** What a request looks for in a directory: a name, or an ordinal. */
  struct Sought {
    const std::string* name;
    uint64_t ordinal;
  };
  enum class Found { kLeaf, kNothing, kUnknown };

  static Sought SoughtBy(const Request& request);
  /** Null: the disk is not looked at. Set to true when it was read. */
  using OnDisk = bool*;
  Found FindLeaf(const Node& directory, const Sought& sought, OnDisk on_disk, Leaf* leaf);
  SharedBytes NodeOf(const uint8_t* hash, const StoredBlobs::Place* place, OnDisk on_disk);
  void Send(uint64_t unique, const Request& request, uint64_t parent, Found found, const Leaf& leaf);

  /** A part of a file that is a chunk, as the file's node or list names it. */
  struct Chunk {
    const uint8_t* hash;
    uint64_t length;
    /** Where it lies, if it has a place. */
    bool has_place;
    StoredBlobs::Place place;
    /** Bytes [from, to) of it are wanted. */
    uint64_t from, to;
  };

  bool AnswerRead(uint64_t unique, const Request& request);
  void SendRange(uint64_t unique, const Request& request, const uint8_t* bytes, uint64_t size);
  bool SendChunks(uint64_t unique, const Request& request, const Node& node, OnDisk on_disk);
  bool SendInline(uint64_t unique, const Request& request, OnDisk on_disk);
  bool ChunksOf(const Node& node, uint64_t from, uint64_t to, OnDisk on_disk, SharedBytes* list, std::vector<Chunk>* chunks);
  SharedBytes InMemory(const Chunk& chunk);
  SharedBytes BytesOf(const Chunk& chunk, OnDisk on_disk);
  SharedBytes Read(const Chunk& chunk, OnDisk on_disk);
  void Tell(const Node& node, const Request& request, bool from_disk);

  InodeTable& table_;
  EntryWriter& entries_;
  Channel& channel_;
  StoredBlobs& blobs_;
  Counters& counters_;
  const Wake& wake_;
  /** Nodes of directories and lists that are understood; whole files; chunks of which more will be asked for. */
  KeptBytes nodes_, chunks_, parts_;
  Turns turns_;

  struct HashOf {
    size_t operator()(const std::array<uint8_t, 32>& hash) const {
      size_t value;
      std::memcpy(&value, hash.data(), sizeof value);
      return value;
    }
  };
  std::mutex mutex_;
  std::unordered_set<std::array<uint8_t, 32>, HashOf> watched_;
  std::vector<Met> met_;
  std::atomic<size_t> watching_{0};
  std::atomic<uint32_t> hearing_{0};
};
