#include "entry_writer.h"

#include <sys/stat.h>

#include <system_error>

/** Counts a lookup of the entry: the kernel holds one once it has this. */
fuse::EntryOut EntryWriter::EntryOf(const Node& node) {
  fuse::EntryOut out{};
  uint32_t generation = 0;
  out.nodeid = table_.Intern(node, &generation);
  out.generation = generation;
  out.entry_valid = out.attr_valid = fuse::kForEver;
  out.attr = AttrOf(out.nodeid, node);
  return out;
}

void EntryWriter::SendEntry(uint64_t unique, const Node* node) {
  fuse::EntryOut out{};
  out.entry_valid = fuse::kForEver;
  try {
    if (node != nullptr) out = EntryOf(*node);
  } catch (const std::system_error& error) {
    channel_.Send(unique, error.code().value(), nullptr, 0);
    return;
  }
  if (!channel_.Send(unique, 0, &out, sizeof out) && node != nullptr) files_.Forget(out.nodeid, 1);
}

fuse::Attr EntryWriter::AttrOf(uint64_t ino, const Node& node) const {
  fuse::Attr attr{};
  attr.ino = ino;
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
