#include "open_files.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <memory>

namespace {

constexpr unsigned long kBackingOpen = _IOW(229, 1, fuse::BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

/** Smaller files are never lent. */
constexpr uint64_t kLentBytesMin = 1 << 20;

}  // namespace

bool OpenFiles::Answer(uint64_t unique, uint64_t ino) {
  Node node;
  if (!passthrough_) {
    // The kernel then opens all files by itself, and does not ask again.
    channel_.Send(unique, ENOSYS, nullptr, 0);
  } else if (!table_.Get(ino, &node)) {
    channel_.Send(unique, ESTALE, nullptr, 0);
  } else if (node.size < kLentBytesMin) {
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
  const fuse::OpenOut out = Open(ino);
  if (!channel_.Send(unique, 0, &out, sizeof out)) Release(ino);
}

bool OpenFiles::IsOpen(uint64_t ino) {
  std::lock_guard<std::mutex> lock(mutex_);
  return table_.GetOpening(ino).count > 0;
}

/** Counts one more open, in the way that the inode is open already, and says what the kernel is told. */
fuse::OpenOut OpenFiles::Open(uint64_t ino) {
  const std::shared_ptr<CacheFile> file = refused_ ? nullptr : files_.Lendable(ino);
  std::lock_guard<std::mutex> lock(mutex_);
  Opening opening = table_.GetOpening(ino);
  if (opening.count == 0) opening.backing = file ? Lend(file->data()) : 0;
  opening.count += 1;
  table_.SetOpening(ino, opening);
  if (opening.backing == 0) return {kCounted, fuse::kOpenKeepCache | fuse::kOpenNoFlush, 0};
  counters_.passthrough_opens += 1;
  return {kCounted, fuse::kOpenPassthrough | fuse::kOpenNoFlush, opening.backing};
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
