// One connection to the kernel, put together from parts that each own one subject. What needs no
// decision is answered by the threads that read requests; the rest is decided in JavaScript.
//
//   kernel ──▶ reading threads: Handle (dispatch.cc)
//                │  answered at once from InodeTable, LocalFiles, KeptAnswers (over StoredBlobs), OpenFiles ──▶ Channel ──▶ kernel
//                ▼
//             Requests ──▶ JavaScript ──▶ Reply… ─────────────────────────────────────────▶ Channel
//                               │                                                              ▲
//                               └──▶ ReplyPieces, ReplyLocal ──▶ DataWriters (threads) ────────┘
//
// Threads: several that read, some that write data, one for interrupts, and the one of JavaScript,
// which calls what is public here. Each holds the Session, so it lives as long as the last of them:
// those that wait in the kernel can't be called back. The parts lie in the Session and refer to each
// other without counting.
//
// Locks: each part has at most one mutex, private to it. Two are held at once only in this order:
//
//   LocalFiles → InodeTable      (an inode is forgotten with its file)
//   OpenFiles  → InodeTable      (how an inode is open is looked up and changed in one step)
//
// All other locks are held alone: those of Requests, DataWriters, Interrupts, KeptAnswers, KeptBytes,
// StoredBlobs, Segments, of the connection's state below, and within files of the cache. `wake` is called, files are read and closed,
// and answers are written with no lock held.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "channel.h"
#include "counters.h"
#include "data_writers.h"
#include "entry_writer.h"
#include "inode_table.h"
#include "interrupts.h"
#include "kept_answers.h"
#include "local_files.h"
#include "open_files.h"
#include "requests.h"
#include "stored_blobs.h"

struct Options {
  int device;
  uint32_t uid, gid;
  uint64_t total_bytes, total_files;
  /**
   * How deep the kernel is to count this mount in a stack of file systems; files that it is lent must
   * lie less deep (0 on a plain one). 0: nothing is lent.
   */
  uint32_t stack_depth;
  /** The root may change: the kernel's questions about it go to JavaScript, which answers by ReplyRoot. */
  bool root_changes;
  /** Where stored blobs lie on this machine, as StoredBlobs takes it. */
  StoredBlobs::Form blobs_form = StoredBlobs::Form::kNone;
  std::string blobs_folder = {};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  /** `wake` is called from any thread when there is something to drain, or Ready or Ended have changed. */
  Session(const Options& options, std::shared_ptr<InodeTable> table, Wake wake);

  /** Starts the threads. After a killed predecessor it has the kernel send again what was not answered. */
  void Start();
  /** True once kernel and server agree on a protocol. */
  bool Ready();
  /** True once the kernel has ended the connection; `error` is an errno, 0 for an unmount. */
  bool Ended(int* error);
  /** Ends the writing of data; when it returns, no reply's memory is in use. */
  void CloseReplies() { writers_.Close(); }

  Requests& requests() { return requests_; }
  LocalFiles& files() { return files_; }
  KeptAnswers& kept() { return kept_; }
  const OpenFiles& opens() const { return opens_; }
  DataWriters& writers() { return writers_; }

  // Each request is answered once. What comes later, or for one that was interrupted, is dropped.
  void ReplyError(uint64_t id, int error);
  void ReplyEntry(uint64_t id, const Entry& entry);
  /** There is no such name, for as long. */
  void ReplyAbsent(uint64_t id, double valid_ms);
  void ReplyRoot(uint64_t id, const Node& root, double valid_ms);
  /** `entries` in the form that EntryReader reads; formats those that fit. */
  void ReplyDirectory(const Request& request, uint64_t parent_ino, const uint8_t* entries, size_t length);
  /**
   * The same from the bytes of a leaf whose first entry has the ordinal `first`. False, and nothing
   * is answered, when they are not understood.
   */
  bool ReplyLeaf(const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first);
  /** Answers a lookup or listing from a leaf that was kept; false when there is none. */
  bool ReplyKept(const Request& request);
  void ReplyBytes(uint64_t id, const void* bytes, size_t length);
  /** Answers an open, lending the attached file to the kernel if that is possible. */
  void ReplyOpen(uint64_t id, uint64_t ino);

  Counters counters;

 private:
  void StartThread(void (Session::*run)());
  void ReadRequests();
  void WriteData() { writers_.Run(); }
  void WatchInterrupts() { interrupts_.Run(); }

  void Handle(const uint8_t* bytes, size_t length);
  void Negotiate(const fuse::InHeader& header, const fuse::InitIn& in);
  void SetPassthrough(bool agreed);
  void SetReady();
  void End(int error);

  const Options options_;
  const std::shared_ptr<InodeTable> table_;
  const Wake wake_;

  // In the order of what they refer to.
  Channel channel_;
  Requests requests_;
  LocalFiles files_;
  EntryWriter entries_;
  StoredBlobs blobs_;
  KeptAnswers kept_;
  OpenFiles opens_;
  DataWriters writers_;
  Interrupts interrupts_;

  /** The connection's state. */
  std::mutex mutex_;
  bool ready_ = false, ended_ = false;
  int error_ = 0;
};
