// The part of EntryWriter that writes directories, from the entries of JavaScript or from stored leaves.
#include <dirent.h>
#include <sys/uio.h>

#include <cstring>
#include <system_error>

#include "../common/tree_node.h"
#include "../data/hash.h"
#include "entry_writer.h"

namespace {

/** The number that READDIR gives entries that have none yet. */
constexpr uint64_t kUnknownIno = UINT32_MAX;

Node NodeOf(const TreeLeaf::Entry& read, uint64_t ordinal) {
  Node node{};
  node.ordinal = ordinal;
  node.size = read.size;
  node.mtime_seconds = read.mtime_seconds;
  node.mtime_nanoseconds = read.mtime_nanoseconds;
  node.kind = read.kind;
  node.executable = read.executable;
  if (read.form == TreeLeaf::kInline) {
    const Hash hash = HashOf(Domain::kPlain, read.bytes, read.size);
    std::memcpy(node.hash, hash.data(), sizeof node.hash);
  }
  if (read.ref == nullptr) return node;
  node.ref = read.ref->type + 1;
  std::memcpy(node.hash, read.ref->hash, sizeof node.hash);
  node.place = read.ref->has_place;
  if (read.ref->has_place) {
    std::memcpy(node.pack, read.ref->pack, sizeof node.pack);
    node.place_offset = read.ref->offset;
    node.place_length = read.ref->length;
  }
  return node;
}

}  // namespace

bool IsSoundLeaf(const uint8_t* bytes, size_t length) {
  TreeLeaf leaf(bytes, length);
  if (!leaf.Begin()) return false;
  TreeLeaf::Entry entry;
  while (leaf.Next(&entry)) {
  }
  return leaf.Sound();
}

void EntryWriter::SendEntryOfLeaf(uint64_t unique, const Request& request, const uint8_t* bytes, size_t length, uint64_t first) {
  TreeLeaf leaf(bytes, length);
  leaf.Begin();
  TreeLeaf::Entry entry;
  for (uint64_t ordinal = first; leaf.Next(&entry); ++ordinal) {
    const int order = entry.name.compare(request.name);
    if (order > 0) break;
    if (order < 0) continue;
    Node node = NodeOf(entry, ordinal);
    node.parent = request.ino;
    return SendEntry(unique, {node, entry.name.data(), static_cast<uint16_t>(entry.name.size()), kValidForEver, 0});
  }
  SendAbsent(unique, kValidForEver);
}

void EntryWriter::SendLeaf(uint64_t unique, const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length,
                           uint64_t first) {
  TreeLeaf leaf(bytes, length);
  leaf.Begin();
  TreeLeaf::Entry read;
  uint64_t ordinal = first;
  const uint64_t from = request.offset < 2 ? 0 : request.offset - 2;
  SendDirectory(unique, request, parent_ino, [&](Entry* entry) {
    do {
      if (!leaf.Next(&read)) return false;
    } while (ordinal++ < from);
    entry->node = NodeOf(read, ordinal - 1);
    entry->name = read.name.data();
    entry->name_length = static_cast<uint16_t>(read.name.size());
    entry->valid_ms = kValidForEver;
    entry->next = ordinal;
    return true;
  });
}

void EntryWriter::SendDirectory(uint64_t unique, const Request& request, uint64_t parent_ino,
                                const std::function<bool(Entry*)>& next) {
  bool plus = request.opcode == fuse::kReaddirplus;
  size_t head = (plus ? sizeof(fuse::EntryOut) : 0) + sizeof(fuse::Dirent);
  std::vector<uint8_t> out;
  std::vector<uint64_t> interned;
  out.reserve(request.size);
  auto add = [&](const char* name, size_t name_length, uint64_t cookie, uint32_t type, Entry* named, uint64_t ino) {
    size_t room = head + ((name_length + 7) & ~size_t{7});
    if (out.size() + room > request.size) return false;
    size_t at = out.size();
    if (plus) {
      fuse::EntryOut entry{};
      if (named != nullptr && named->valid_ms != kNameOnly) {
        entry = EntryOf(named);
        ino = entry.attr.ino;
        interned.push_back(entry.nodeid);
      }
      out.resize(at + room);
      std::memcpy(&out[at], &entry, sizeof entry);
    } else {
      out.resize(at + room);
    }
    fuse::Dirent dirent{ino, cookie, static_cast<uint32_t>(name_length), type};
    std::memcpy(&out[at + head - sizeof dirent], &dirent, sizeof dirent);
    std::memcpy(&out[at + head], name, name_length);
    return true;
  };
  int failed = 0;
  try {
    bool full = false;
    if (request.offset < 1) full = !add(".", 1, 1, DT_DIR, nullptr, ShownIno(request.ino));
    if (!full && request.offset < 2) full = !add("..", 2, 2, DT_DIR, nullptr, ShownIno(parent_ino));
    Entry entry;
    while (!full && next(&entry)) {
      entry.node.parent = request.ino;
      uint32_t type = entry.node.kind == 1 ? DT_DIR : entry.node.kind == 2 ? DT_LNK : DT_REG;
      full = !add(entry.name, entry.name_length, entry.next + 2, type, &entry, kUnknownIno);
    }
  } catch (const std::system_error& error) {
    failed = error.code().value();
  }
  bool taken = channel_.Send(unique, failed, out.data(), failed == 0 ? out.size() : 0);
  if (taken && failed == 0) return;
  for (uint64_t ino : interned) files_.Forget(ino, 1);
}
