// Directories: answers from what JavaScript hands over, and from stored leaves without it.
#include <dirent.h>
#include <sys/uio.h>

#include <cstring>
#include <system_error>

#include "../common/tree_node.h"
#include "entries.h"
#include "session.h"

namespace {

/** What READDIR says of entries that have no number yet. */
constexpr uint64_t kUnknownIno = UINT32_MAX;
constexpr uint8_t kDirectoryKind = 1, kNodeRef = 2;

/** All of it is looked at before anything is said. */
bool IsSound(const uint8_t* bytes, size_t length) {
  TreeLeaf leaf(bytes, length);
  if (!leaf.Begin()) return false;
  TreeLeaf::Entry entry;
  while (leaf.Next(&entry)) {
  }
  return leaf.Sound();
}

Node NodeOf(const TreeLeaf::Entry& read, uint64_t ordinal) {
  Node node{};
  node.ordinal = ordinal;
  node.size = read.size;
  node.mtime_seconds = read.mtime_seconds;
  node.mtime_nanoseconds = read.mtime_nanoseconds;
  node.kind = read.kind;
  node.executable = read.executable;
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

void Session::ReplyDirectory(const Request& request, uint64_t parent_ino, const uint8_t* entries, size_t length) {
  uint64_t unique;
  if (!Take(request.id, &unique)) return;
  EntryReader reader(entries, length);
  WriteDirectory(request, unique, parent_ino, [&](Entry* entry) { return reader.Next(entry); });
}

bool Session::ReplyLeaf(const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first) {
  if (!IsSound(bytes, length)) return false;
  uint64_t unique;
  if (Take(request.id, &unique)) WriteLeaf(request, unique, parent_ino, bytes, length, first);
  return true;
}

bool Session::KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length) {
  if (!IsSound(bytes, length)) return false;
  leaves_.Keep(hash, bytes, length);
  return true;
}

bool Session::ReplyKept(const Request& request) {
  Kept kept;
  uint64_t unique;
  if (!FindKept(request.ino, &kept)) return false;
  if (Take(request.id, &unique)) WriteKept(request, unique, kept);
  return true;
}

bool Session::AnswerKept(uint64_t unique, const Request& request) {
  Kept kept;
  if (!FindKept(request.ino, &kept)) return false;
  counters.kept_answers += 1;
  WriteKept(request, unique, kept);
  return true;
}

bool Session::FindKept(uint64_t ino, Kept* kept) {
  Node node;
  if (!table_->Get(ino, &node) || node.kind != kDirectoryKind || node.ref != kNodeRef) return false;
  kept->parent = node.parent;
  kept->leaf = leaves_.Get(node.hash);
  return kept->leaf != nullptr;
}

void Session::WriteKept(const Request& request, uint64_t unique, const Kept& kept) {
  const std::vector<uint8_t>& bytes = *kept.leaf;
  if (request.opcode != fuse::kLookup) {
    WriteLeaf(request, unique, kept.parent, bytes.data(), bytes.size(), 0);
    return;
  }
  TreeLeaf leaf(bytes.data(), bytes.size());
  leaf.Begin();
  TreeLeaf::Entry entry;
  for (uint64_t ordinal = 0; leaf.Next(&entry); ++ordinal) {
    const int order = entry.name.compare(request.name);
    if (order > 0) break;
    if (order < 0) continue;
    Node node = NodeOf(entry, ordinal);
    node.parent = request.ino;
    return WriteEntry(unique, &node);
  }
  WriteEntry(unique, nullptr);
}

void Session::WriteLeaf(const Request& request, uint64_t unique, uint64_t parent_ino, const uint8_t* bytes, size_t length,
                        uint64_t first) {
  TreeLeaf leaf(bytes, length);
  leaf.Begin();
  TreeLeaf::Entry read;
  uint64_t ordinal = first;
  const uint64_t from = request.offset < 2 ? 0 : request.offset - 2;
  WriteDirectory(request, unique, parent_ino, [&](Entry* entry) {
    do {
      if (!leaf.Next(&read)) return false;
    } while (ordinal++ < from);
    entry->node = NodeOf(read, ordinal - 1);
    entry->name = read.name.data();
    entry->name_length = static_cast<uint16_t>(read.name.size());
    return true;
  });
}

void Session::WriteDirectory(const Request& request, uint64_t unique, uint64_t parent_ino,
                             const std::function<bool(Entry*)>& next) {
  bool plus = request.opcode == fuse::kReaddirplus;
  size_t head = (plus ? sizeof(fuse::EntryOut) : 0) + sizeof(fuse::Dirent);
  std::vector<uint8_t> out;
  std::vector<uint64_t> interned;
  out.reserve(request.size);
  auto add = [&](const char* name, size_t name_length, uint64_t cookie, uint32_t type, const Node* node, uint64_t ino) {
    size_t room = head + ((name_length + 7) & ~size_t{7});
    if (out.size() + room > request.size) return false;
    size_t at = out.size();
    if (plus) {
      fuse::EntryOut entry{};
      if (node != nullptr) {
        entry = EntryOf(*node);
        ino = entry.nodeid;
        interned.push_back(ino);
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
    if (request.offset < 1) full = !add(".", 1, 1, DT_DIR, nullptr, request.ino);
    if (!full && request.offset < 2) full = !add("..", 2, 2, DT_DIR, nullptr, parent_ino);
    Entry entry;
    while (!full && next(&entry)) {
      entry.node.parent = request.ino;
      uint32_t type = entry.node.kind == 1 ? DT_DIR : entry.node.kind == 2 ? DT_LNK : DT_REG;
      full = !add(entry.name, entry.name_length, entry.node.ordinal + 3, type, &entry.node, kUnknownIno);
    }
  } catch (const std::system_error& error) {
    failed = error.code().value();
  }
  bool taken = Send(unique, failed, out.data(), failed == 0 ? out.size() : 0);
  if (taken && failed == 0) return;
  for (uint64_t ino : interned) table_->Forget(ino, 1);
}
