#include "entry_writer.h"

#include <sys/stat.h>

#include <cstring>
#include <system_error>

namespace {

/** Milliseconds as seconds and nanoseconds. */
void SetValid(double ms, uint64_t* seconds, uint32_t* nanoseconds) {
  if (!(ms < fuse::kForEver * 1e3)) {
    *seconds = fuse::kForEver;
    return;
  }
  *seconds = static_cast<uint64_t>(ms / 1e3);
  *nanoseconds = static_cast<uint32_t>((ms - static_cast<double>(*seconds) * 1e3) * 1e6);
}

/**
 * The number that people see. Where names move it follows from path and content, so a path keeps it from
 * version to version, also in directories, which are another inode in each.
 */
uint64_t InoOf(uint64_t ino, const Node& node) {
  if (node.path == 0 || ino == fuse::kRootIno) return ino;
  uint64_t content;
  std::memcpy(&content, node.hash, sizeof content);
  const uint64_t mixed = (node.path ^ (content + node.size) * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull >> 1;
  return mixed > UINT32_MAX ? mixed : mixed + UINT32_MAX + 1;
}

}  // namespace

/** Counts a lookup of the entry: the kernel holds one once it has this. */
fuse::EntryOut EntryWriter::EntryOf(Entry* entry) {
  fuse::EntryOut out{};
  uint32_t generation = 0;
  out.nodeid = table_.Intern(&entry->node, entry->name, entry->name_length, &generation);
  out.generation = generation;
  SetValid(entry->valid_ms, &out.entry_valid, &out.entry_valid_nsec);
  // A node never changes: a name whose content has changed has another node.
  out.attr_valid = fuse::kForEver;
  out.attr = AttrOf(out.nodeid, entry->node);
  return out;
}

void EntryWriter::SendAttributes(uint64_t unique, uint64_t ino, const Node& node, double valid_ms) {
  fuse::AttrOut out{};
  SetValid(valid_ms, &out.attr_valid, &out.attr_valid_nsec);
  out.attr = AttrOf(ino, node);
  channel_.Send(unique, 0, &out, sizeof out);
}

void EntryWriter::SendAbsent(uint64_t unique, double valid_ms) {
  fuse::EntryOut out{};
  SetValid(valid_ms, &out.entry_valid, &out.entry_valid_nsec);
  channel_.Send(unique, 0, &out, sizeof out);
}

void EntryWriter::SendEntry(uint64_t unique, Entry entry) {
  fuse::EntryOut out{};
  try {
    out = EntryOf(&entry);
  } catch (const std::system_error& error) {
    channel_.Send(unique, error.code().value(), nullptr, 0);
    return;
  }
  if (!channel_.Send(unique, 0, &out, sizeof out)) files_.Forget(out.nodeid, 1);
}

/** Of an inode that may be unknown. */
uint64_t EntryWriter::ShownIno(uint64_t ino) {
  Node node;
  return table_.Get(ino, &node) ? InoOf(ino, node) : ino;
}

fuse::Attr EntryWriter::AttrOf(uint64_t ino, const Node& node) const {
  fuse::Attr attr{};
  attr.ino = InoOf(ino, node);
  attr.size = node.size;
  attr.blocks = (node.size + 511) / 512;
  attr.atime = attr.mtime = attr.ctime = static_cast<uint64_t>(node.mtime_seconds);
  attr.atimensec = attr.mtimensec = attr.ctimensec = node.mtime_nanoseconds;
  // The modes that `get` gives files, since copies keep them. Writing fails with EROFS all the same.
  if (node.kind == 1) attr.mode = S_IFDIR | 0755;
  else if (node.kind == 2) attr.mode = S_IFLNK | 0777;
  else attr.mode = S_IFREG | 0644 | (node.executable ? 0111 : 0);
  attr.nlink = 1;
  attr.uid = uid_;
  attr.gid = gid_;
  attr.blksize = 128 * 1024;
  return attr;
}
