// How large files are open. The kernel can read a sealed file of the disk cache by itself when it is
// lent to it (FUSE passthrough, Linux 6.9), but wants one way for all that have an inode open at once:
//
//                  first open: lent, if it can be         last release
//   not open ─────────────────────────────────▶ open, lent ───────────▶ taken back, not open
//      │                                         ▲  │ more opens: lent too
//      │                                         └──┘
//      └── first open: it can't be ──▶ open, read through us, until the last release
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
  OpenFiles(InodeTable& table, LocalFiles& files, Channel& channel, Counters& counters)
      : table_(table), files_(files), channel_(channel), counters_(counters) {}

  /** What the kernel and this server, or the one before, have agreed on. */
  void SetPassthrough(bool agreed) { passthrough_ = agreed; }
  /** True where the kernel takes files that are lent to it. */
  bool Lends() const { return passthrough_ && !refused_; }

  /** Answers an open that came just now; false when JavaScript should first look for the file on the disk. */
  bool Answer(uint64_t unique, uint64_t ino);
  /** Answers an open, lending the attached file if that is possible. */
  void Send(uint64_t unique, uint64_t ino);
  /** A counted open has ended. */
  void Release(uint64_t ino);

 private:
  fuse::OpenOut Open(uint64_t ino);
  int32_t Lend(int fd);
  void TakeBack(int32_t backing);
  bool IsOpen(uint64_t ino);

  InodeTable& table_;
  LocalFiles& files_;
  Channel& channel_;
  Counters& counters_;
  /** Set before the kernel's first open. */
  std::atomic<bool> passthrough_{false};
  /** This process has not the right to lend files. */
  std::atomic<bool> refused_{false};

  std::mutex mutex_;
};
