// How large files are open. The kernel can read a sealed file of the disk cache by itself when it is
// lent to it (FUSE passthrough, Linux 6.9), but wants one way for all that have an inode open at once:
//
//                  first open: lent, if it can be         last release
//   not open ─────────────────────────────────▶ open, lent ───────────▶ taken back, not open
//      │                                         ▲  │ more opens: lent too
//      │                                         └──┘
//      └── first open: it can't be ──▶ open, read through us, until the last release
//
// Lending has a price: the kernel asks for every open of every file, and waits, and tells of every release.
// So where the files of a mount are small on average, and many of them but no large one were opened, the
// kernel is told to open files by itself. That holds for as long as the mount is there; large files are then read
// through us. It asks no more of who reads small files than an ordinary user's mount, which never lends.
//
// How often and in which way an inode is open stands in the inode table, so that a successor of this
// server knows it. The mutex is held from looking there to storing what follows, with the ioctl that
// lends or takes back in between.
#pragma once

#include <cstdint>
#include <atomic>
#include <mutex>

#include "abi.h"
#include "channel.h"
#include "inode_table.h"
#include "local_files.h"

/** The handle of opens that are counted until they are released. */
constexpr uint64_t kCounted = 1;

class OpenFiles {
 public:
  /** All that the mount shows, and whether that may become something else. */
  struct Content {
    uint64_t bytes, files;
    bool changes;
  };

  OpenFiles(InodeTable& table, LocalFiles& files, Channel& channel, Counters& counters, const Content& content);

  /** What the kernel and this server, or the one before, have agreed on. */
  void SetPassthrough(bool agreed) { passthrough_ = agreed; }
  /** After a predecessor, under which large files may have been opened: passthrough stays as it is. */
  void Keep() { may_end_ = false; }
  /** True where the kernel takes files that are lent to it. */
  bool Lends() const { return passthrough_ && !refused_; }

  /** Answers an open that came just now; false when JavaScript should first look for the file on the disk. */
  bool Answer(uint64_t unique, uint64_t ino);
  /** Answers an open, lending the attached file if that is possible. */
  void Send(uint64_t unique, uint64_t ino);
  /** A counted open has ended. */
  void Release(uint64_t ino);

 private:
  bool Open(uint64_t ino, const CacheFile* file, fuse::OpenOut* out);
  void SendNoOpen(uint64_t unique);
  bool EndPassthrough();
  int32_t Lend(int fd);
  void TakeBack(int32_t backing);
  bool IsOpen(uint64_t ino);

  InodeTable& table_;
  LocalFiles& files_;
  Channel& channel_;
  Counters& counters_;
  /** Set before the kernel's first open; taken back under the mutex. */
  std::atomic<bool> passthrough_{false};
  /** Passthrough may be taken back. */
  std::atomic<bool> may_end_;
  std::atomic<uint32_t> small_opens_{0};
  /** This process has not the right to lend files. */
  std::atomic<bool> refused_{false};

  std::mutex mutex_;
  /** Large files were opened: the kernel would tell of no release of theirs. */
  bool has_counted_ = false;
};
