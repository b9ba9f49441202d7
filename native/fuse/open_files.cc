#include "open_files.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <memory>

namespace {

constexpr unsigned long kBackingOpen = _IOW(229, 1, fuse::BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

/** Smaller files are never lent. */
constexpr uint64_t kLentBytesMin = 1 << 20;
/** Where files have no more on average, asking for each open costs a good part of reading a file. */
constexpr uint64_t kSmallBytesMean = 256 << 10;
/** After so many opens of small files alone, small files are what is read here. */
constexpr uint32_t kSmallOpens = 64;

}  // namespace

OpenFiles::OpenFiles(InodeTable& table, LocalFiles& files, Channel& channel, Counters& counters, const Content& content)
    : table_(table),
      files_(files),
      channel_(channel),
      counters_(counters),
      may_end_(!content.changes && content.files > 0 && content.bytes / content.files <= kSmallBytesMean) {}

bool OpenFiles::Answer(uint64_t unique, uint64_t ino) {
  Node node;
  if (!passthrough_) {
    SendNoOpen(unique);
  } else if (!table_.Get(ino, &node)) {
    channel_.Send(unique, ESTALE, nullptr, 0);
  } else if (node.size < kLentBytesMin) {
    if (may_end_ && ++small_opens_ >= kSmallOpens && EndPassthrough()) {
      SendNoOpen(unique);
      return true;
    }
    const fuse::OpenOut out{0, fuse::kOpenKeepCache | fuse::kOpenNoFlush, 0};
    channel_.Send(unique, 0, &out, sizeof out);
  } else if (IsOpen(ino) || files_.IsAttached(ino)) {
    Send(unique, ino);
  } else {
    return false;
  }
  return true;
}

void OpenFiles::Send(uint64_t unique, uint64_t ino) {
  const std::shared_ptr<CacheFile> file = refused_ ? nullptr : files_.Lendable(ino);
  fuse::OpenOut out;
  if (!Open(ino, file.get(), &out)) return SendNoOpen(unique);
  if (!channel_.Send(unique, 0, &out, sizeof out)) Release(ino);
}

bool OpenFiles::IsOpen(uint64_t ino) {
  std::lock_guard<std::mutex> lock(mutex_);
  return table_.GetOpening(ino).count > 0;
}

/** The kernel then opens all files by itself: it does not ask again, and tells of no release. */
void OpenFiles::SendNoOpen(uint64_t unique) { channel_.Send(unique, ENOSYS, nullptr, 0); }

/** False where a large file was opened. */
bool OpenFiles::EndPassthrough() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (has_counted_) may_end_ = false;
  if (has_counted_ || !passthrough_) return !passthrough_;
  passthrough_ = false;
  files_.SetLent(false);
  // Before the kernel hears of it: a successor must not wait for opens.
  table_.EndNegotiated(fuse::kPassthrough);
  return true;
}

/** Counts one more open, in the way that the inode is open already, and says what the kernel is told. False where it is to open by itself. */
bool OpenFiles::Open(uint64_t ino, const CacheFile* file, fuse::OpenOut* out) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!passthrough_) return false;
  has_counted_ = true;
  Opening opening = table_.GetOpening(ino);
  if (opening.count == 0) opening.backing = file != nullptr ? Lend(file->data()) : 0;
  opening.count += 1;
  table_.SetOpening(ino, opening);
  const bool is_lent = opening.backing != 0;
  if (is_lent) counters_.passthrough_opens += 1;
  *out = {kCounted, (is_lent ? fuse::kOpenPassthrough : fuse::kOpenKeepCache) | fuse::kOpenNoFlush, opening.backing};
  return true;
}

void OpenFiles::Release(uint64_t ino) {
  std::lock_guard<std::mutex> lock(mutex_);
  Opening opening = table_.GetOpening(ino);
  if (opening.count == 0) return;
  opening.count -= 1;
  // Not right after the open was answered: the kernel looks the number up once more while it opens.
  if (opening.count == 0 && opening.backing != 0) {
    TakeBack(opening.backing);
    opening.backing = 0;
  }
  table_.SetOpening(ino, opening);
}

/** 0 when the kernel does not take it, as on a file system that is stacked too deep. */
int32_t OpenFiles::Lend(int fd) {
  fuse::BackingMap map{fd, 0, 0};
  const int backing = ioctl(channel_.device(), kBackingOpen, &map);
  if (backing > 0) return backing;
  // Without the right to lend, asking again is of no use.
  if (errno == EPERM) refused_ = true;
  return 0;
}

void OpenFiles::TakeBack(int32_t backing) {
  uint32_t number = static_cast<uint32_t>(backing);
  ioctl(channel_.device(), kBackingClose, &number);
}
