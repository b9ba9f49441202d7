// Large files that lie on this machine's disk: reads of their inodes are answered from there without
// JavaScript, which attaches a file when it has opened it in the disk cache.
//
// The mutex also covers the table for two steps: an inode is forgotten with its file, and a file is
// attached to the inode that has its content. So a number that is given out again never has the file of
// the inode before. Files are read and closed with no lock held.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "../common/cache_file.h"
#include "channel.h"
#include "inode_table.h"
#include "requests.h"
#include "segments.h"

/** A read of an attached file that went beyond its mark. */
struct Progress {
  uint64_t ino, offset;
};

class LocalFiles {
 public:
  LocalFiles(InodeTable& table, Channel& channel, Counters& counters, const Wake& wake)
      : table_(table), channel_(channel), counters_(counters), wake_(wake) {}

  /** Whether the kernel is lent files: then it reads them best through the page cache, where it finds them later. */
  void SetLent(bool lent) { lent_ = lent; }

  /**
   * From now on reads of this inode are answered from the file, where that has the bytes. Of no effect
   * when the inode's content has another hash than these 32 bytes: the number may be another's by now.
   */
  void Attach(uint64_t ino, std::shared_ptr<CacheFile> file, const uint8_t* hash);
  bool IsAttached(uint64_t ino);
  void Detach(uint64_t ino);
  /** Has JavaScript woken, once, when a read that is answered from the file goes beyond this offset. */
  void SetMark(uint64_t ino, uint64_t offset);
  std::vector<Progress> DrainProgress();

  /** The kernel forgets so many lookups of an inode, or has never got them. Nothing else takes lookups back. */
  void Forget(uint64_t ino, uint64_t lookups);

  /** Answers a read from the attached file; false when there is none, or it has not all the bytes. */
  bool Answer(uint64_t unique, const Request& request);
  /** The attached file if it is sealed and the kernel would read it faster itself; else null. */
  std::shared_ptr<CacheFile> Lendable(uint64_t ino);

 private:
  struct Attached {
    std::shared_ptr<CacheFile> file;
    uint64_t mark = UINT64_MAX;
    /** Bytes that went to the kernel from a run past the page cache (only the kernel keeps them), and from the file. */
    uint64_t kernels_alone = 0, from_file = 0;
    Segments::Hash hash = {};
  };

  /** Removes the entry; the file closes where the result goes out of scope, after the lock. */
  std::shared_ptr<CacheFile> Remove(uint64_t ino);
  std::shared_ptr<CacheFile> FindFor(const Request& request, Segments::Hash* hash);
  bool ReadSegments(CacheFile& file, const Segments::Hash& hash, uint64_t offset, uint64_t end, std::vector<CacheFile::Part>* parts,
                    std::vector<SharedBytes>* held);
  void Count(uint64_t ino, const std::vector<CacheFile::Part>& parts);

  InodeTable& table_;
  Channel& channel_;
  Counters& counters_;
  const Wake& wake_;

  std::atomic<bool> lent_{false};
  Segments segments_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Attached> files_;
  std::vector<Progress> progress_;
};
