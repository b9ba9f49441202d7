// Answers from verified bytes that JavaScript has left here: leaves that are a whole directory, and
// chunks that are a whole file, each by the hash that names it.
#pragma once

#include <cstdint>
#include <optional>

#include "channel.h"
#include "entry_writer.h"
#include "inode_table.h"
#include "kept_bytes.h"
#include "requests.h"

/** Locks nothing itself: KeptBytes and InodeTable do, one after the other. */
class KeptAnswers {
 public:
  KeptAnswers(InodeTable& table, EntryWriter& entries, Channel& channel, Counters& counters);

  /**
   * Keeps a leaf that is all of the directory with this hash, while there is room. False when it is not
   * understood.
   */
  bool KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length);
  /** Keeps the content of files that are the one chunk with this hash, while there is room. */
  void KeepChunk(const uint8_t* hash, const uint8_t* bytes, size_t length) { chunks_.Keep(hash, bytes, length); }

  struct Directory {
    uint64_t parent;
    KeptBytes::Bytes leaf;
  };
  /** The directory with this number, if its leaf is kept. */
  std::optional<Directory> Find(uint64_t ino);
  /** Answers a lookup or listing of it. */
  void Send(uint64_t unique, const Request& request, const Directory& directory);

  /** Answers a lookup, listing or read that came just now; false when what it needs is not kept. */
  bool Answer(uint64_t unique, const Request& request);

 private:
  bool AnswerRead(uint64_t unique, const Request& request);

  InodeTable& table_;
  EntryWriter& entries_;
  Channel& channel_;
  Counters& counters_;
  KeptBytes leaves_, chunks_;
};
