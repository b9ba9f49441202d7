// Answers, as the kernel wants them: each one writev, whole.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "../common/tree_node.h"
#include "entries.h"
#include "session.h"

namespace {

constexpr size_t kZerosBytes = 256 * 1024;
/** Never written; without a destructor, because threads outlive those at the end of the process. */
alignas(4096) uint8_t zeros[kZerosBytes];
/** Below IOV_MAX. */
constexpr size_t kPartsMax = 512;
/** What READDIR says of entries that have no number yet. */
constexpr uint64_t kUnknownIno = UINT32_MAX;

bool ReadWhole(const Piece& piece, uint8_t* into) {
  for (uint64_t done = 0; done < piece.length;) {
    ssize_t got = pread(piece.fd, into + done, piece.length - done, static_cast<off_t>(piece.offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<uint64_t>(got);
  }
  return true;
}

}  // namespace

void Session::ReplyError(uint64_t id, int error) {
  uint64_t unique;
  if (Take(id, &unique)) Send(unique, error, nullptr, 0);
}

void Session::ReplyBytes(uint64_t id, const void* bytes, size_t length) {
  uint64_t unique;
  if (Take(id, &unique)) Send(unique, 0, bytes, length);
}

/** The kernel holds a lookup of the entry once it has this. */
fuse::EntryOut Session::EntryOf(const Node& node) {
  fuse::EntryOut out{};
  uint32_t generation = 0;
  out.nodeid = table_->Intern(node, &generation);
  out.generation = generation;
  out.entry_valid = out.attr_valid = fuse::kForEver;
  out.attr = AttrOf(out.nodeid, node);
  return out;
}

void Session::ReplyEntry(uint64_t id, const Node* node) {
  uint64_t unique;
  if (!Take(id, &unique)) return;
  fuse::EntryOut out{};
  out.entry_valid = fuse::kForEver;
  try {
    if (node != nullptr) out = EntryOf(*node);
  } catch (const std::system_error& error) {
    Send(unique, error.code().value(), nullptr, 0);
    return;
  }
  if (!Send(unique, 0, &out, sizeof out) && node != nullptr) table_->Forget(out.nodeid, 1);
}

void Session::ReplyDirectory(const Request& request, uint64_t parent_ino, const uint8_t* entries, size_t length) {
  uint64_t unique;
  if (!Take(request.id, &unique)) return;
  EntryReader reader(entries, length);
  WriteDirectory(request, unique, parent_ino, [&](Entry* entry) { return reader.Next(entry); });
}

bool Session::ReplyLeaf(const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first) {
  // All of it is looked at before anything is said.
  TreeLeaf::Entry read;
  TreeLeaf checked(bytes, length);
  if (!checked.Begin()) return false;
  while (checked.Next(&read)) {
  }
  if (!checked.Sound()) return false;
  uint64_t unique;
  if (!Take(request.id, &unique)) return true;
  TreeLeaf leaf(bytes, length);
  leaf.Begin();
  uint64_t ordinal = first;
  const uint64_t from = request.offset < 2 ? 0 : request.offset - 2;
  WriteDirectory(request, unique, parent_ino, [&](Entry* entry) {
    do {
      if (!leaf.Next(&read)) return false;
    } while (ordinal++ < from);
    Node& node = entry->node;
    node = Node{};
    node.ordinal = ordinal - 1;
    node.size = read.size;
    node.mtime_seconds = read.mtime_seconds;
    node.mtime_nanoseconds = read.mtime_nanoseconds;
    node.kind = read.kind;
    node.executable = read.executable;
    if (read.ref != nullptr) {
      node.ref = read.ref->type + 1;
      std::memcpy(node.hash, read.ref->hash, sizeof node.hash);
      node.place = read.ref->has_place;
      if (read.ref->has_place) {
        std::memcpy(node.pack, read.ref->pack, sizeof node.pack);
        node.place_offset = read.ref->offset;
        node.place_length = read.ref->length;
      }
    }
    entry->name = read.name.data();
    entry->name_length = static_cast<uint16_t>(read.name.size());
    return true;
  });
  return true;
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

void Session::WriteData(const DataReply& reply, std::vector<uint8_t>* scratch) {
  uint64_t unique;
  if (!Take(reply.id, &unique)) return;
  size_t copied = 0, parts_needed = 1, total = 0;
  for (const Piece& piece : reply.pieces) {
    total += piece.length;
    if (piece.fd >= 0) copied += piece.length;
    parts_needed += piece.fd < 0 && piece.bytes == nullptr ? piece.length / kZerosBytes + 1 : 1;
  }
  if (total > fuse::kReadBytesMax) {
    Send(unique, EIO, nullptr, 0);
    return;
  }
  // Too many parts for one call: they are put together first.
  bool together = parts_needed > kPartsMax;
  if (scratch->size() < (together ? total : copied)) scratch->resize(together ? total : copied);
  uint8_t* next = scratch->data();
  std::vector<iovec> parts(1);
  if (together) parts.push_back({next, total});
  for (const Piece& piece : reply.pieces) {
    if (piece.fd >= 0) {
      if (!ReadWhole(piece, next)) {
        Send(unique, EIO, nullptr, 0);
        return;
      }
      if (!together) parts.push_back({next, piece.length});
      next += piece.length;
    } else if (together) {
      if (piece.bytes != nullptr) std::memcpy(next, piece.bytes, piece.length);
      else std::memset(next, 0, piece.length);
      next += piece.length;
    } else if (piece.bytes != nullptr) {
      parts.push_back({const_cast<uint8_t*>(piece.bytes), piece.length});
    } else {
      for (size_t left = piece.length; left > 0; left -= parts.back().iov_len) {
        parts.push_back({zeros, std::min(left, kZerosBytes)});
      }
    }
  }
  fuse::OutHeader header{static_cast<uint32_t>(sizeof header + total), 0, unique};
  parts[0] = {&header, sizeof header};
  if (SendParts(parts.data(), static_cast<int>(parts.size()))) counters.bytes_read += total;
}

bool Session::Send(uint64_t unique, int error, const void* bytes, size_t length) {
  fuse::OutHeader header{static_cast<uint32_t>(sizeof header + length), -error, unique};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<void*>(bytes), length}};
  return SendParts(parts, length > 0 ? 2 : 1);
}

bool Session::SendParts(const iovec* parts, int count) {
  ssize_t wrote;
  do wrote = writev(options_.device, parts, count);
  while (wrote < 0 && errno == EINTR);
  counters.replies += 1;
  if (wrote >= 0) return true;
  // ENOENT: the asker is gone. ENODEV: so is the mount. Anything else is a defect of ours.
  if (errno != ENOENT && errno != ENODEV && errno != ECONNABORTED && errno != EPIPE) counters.reply_errors += 1;
  return false;
}

fuse::Attr Session::AttrOf(uint64_t ino, const Node& node) const {
  fuse::Attr attr{};
  attr.ino = ino;
  attr.size = node.size;
  attr.blocks = (node.size + 511) / 512;
  attr.atime = attr.mtime = attr.ctime = static_cast<uint64_t>(node.mtime_seconds);
  attr.atimensec = attr.mtimensec = attr.ctimensec = node.mtime_nanoseconds;
  if (node.kind == 1) attr.mode = S_IFDIR | 0555;
  else if (node.kind == 2) attr.mode = S_IFLNK | 0777;
  else attr.mode = S_IFREG | 0444 | (node.executable ? 0111 : 0);
  attr.nlink = 1;
  attr.uid = options_.uid;
  attr.gid = options_.gid;
  attr.blksize = 128 * 1024;
  return attr;
}
