// Answers, as the kernel wants them: each one writev, whole.
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "session.h"

namespace {

constexpr size_t kZerosBytes = 256 * 1024;
/** Never written; without a destructor, because threads outlive those at the end of the process. */
alignas(4096) uint8_t zeros[kZerosBytes];
/** Below IOV_MAX. */
constexpr size_t kPartsMax = 512;

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
  if (Take(id, &unique)) WriteEntry(unique, node);
}

void Session::WriteEntry(uint64_t unique, const Node* node) {
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
  // As `get` makes them, since copies keep them; what writes is told that the file system is read-only.
  if (node.kind == 1) attr.mode = S_IFDIR | 0755;
  else if (node.kind == 2) attr.mode = S_IFLNK | 0777;
  else attr.mode = S_IFREG | 0644 | (node.executable ? 0111 : 0);
  attr.nlink = 1;
  attr.uid = options_.uid;
  attr.gid = options_.gid;
  attr.blksize = 128 * 1024;
  return attr;
}
