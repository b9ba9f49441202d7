// Entries and directories as the kernel reads them. What the kernel is told of becomes an inode of the
// table with one more lookup, which is taken back when the kernel does not take the answer.
#pragma once

#include <cstdint>
#include <functional>

#include "abi.h"
#include "channel.h"
#include "entries.h"
#include "inode_table.h"
#include "local_files.h"
#include "requests.h"

class EntryWriter {
 public:
  /** All entries belong to this user and group. */
  EntryWriter(InodeTable& table, LocalFiles& files, Channel& channel, uint32_t uid, uint32_t gid)
      : table_(table), files_(files), channel_(channel), uid_(uid), gid_(gid) {}

  /** Answers a lookup. */
  void SendEntry(uint64_t unique, Entry entry);
  /** The same where there is no such name, for as long. */
  void SendAbsent(uint64_t unique, double valid_ms);
  void SendAttributes(uint64_t unique, uint64_t ino, const Node& node, double valid_ms);
  /** Answers a listing with the entries that fit. `next` gives them (with the parent not set) until it is false. */
  void SendDirectory(uint64_t unique, const Request& request, uint64_t parent_ino, const std::function<bool(Entry*)>& next);
  /** The same from the bytes of a sound leaf, whose first entry has the ordinal `first`. */
  void SendLeaf(uint64_t unique, const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first);
  /** Answers a lookup from the bytes of the sound leaf that has the name if the directory has it. */
  void SendEntryOfLeaf(uint64_t unique, const Request& request, const uint8_t* bytes, size_t length, uint64_t first);

 private:
  fuse::EntryOut EntryOf(Entry* entry);
  fuse::Attr AttrOf(uint64_t ino, const Node& node) const;
  uint64_t ShownIno(uint64_t ino);

  InodeTable& table_;
  /** Lookups are taken back there, so that an inode is never forgotten without its file. */
  LocalFiles& files_;
  Channel& channel_;
  const uint32_t uid_, gid_;
};

/** True when the bytes of a stored leaf are understood to the end; looked at before anything of it is said. */
bool IsSoundLeaf(const uint8_t* bytes, size_t length);
