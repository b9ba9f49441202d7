// One connection to the kernel: threads that read requests, a bounded ring of those that wait for
// JavaScript, and threads that write what a read found. What needs no decision is answered here.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "../common/cache_file.h"
#include "abi.h"
#include "inode_table.h"
#include "kept_bytes.h"

struct Entry;

/** A request that is to be decided in JavaScript. */
struct Request {
  uint32_t opcode;
  uint32_t size;
  uint64_t id, ino, offset;
  std::string name;
  /** How often the bytes were said to be here, and were not. */
  uint32_t tries = 0;
};

/** A reading by the kernel that went past what was asked to be told of. */
struct Progress {
  uint64_t ino, offset;
};

/** A part of the answer to a read: memory, a range of a file (fd >= 0, the reply's own), or zeros (both absent). */
struct Piece {
  const uint8_t* bytes;
  int fd;
  uint64_t offset, length;
};

/** The handle of opens that are counted until they are released. */
constexpr uint64_t kCounted = 1;
/** Smaller files are never lent. */
constexpr uint64_t kLentBytesMin = 1 << 20;

struct Options {
  int device;
  uint32_t uid, gid;
  uint64_t total_bytes, total_files;
  /**
   * How deep the kernel is to count this mount in a stack of file systems; files that it is lent must
   * lie less deep (0 on a plain one). 0: nothing is lent.
   */
  uint32_t stack_depth;
};

struct Counters {
  std::array<std::atomic<uint64_t>, 64> requests{};
  std::atomic<uint64_t> replies{0}, reply_errors{0}, interrupts{0}, bytes_read{0}, ring_max{0};
  /** Readings answered without JavaScript, those whose bytes on disk were damaged, and opens lent to the kernel. */
  std::atomic<uint64_t> local_reads{0}, damaged_reads{0}, passthrough_opens{0};
  /** Lookups, listings and readings of small files answered without JavaScript. */
  std::atomic<uint64_t> kept_answers{0};
};

/**
 * Its threads share it, so it lives as long as the last of them: those that wait in the kernel
 * can't be called back. Replies may be made by any one thread.
 */
class Session : public std::enable_shared_from_this<Session> {
 public:
  /** `wake` is called from any thread when there is something to take, or the state has changed. */
  Session(const Options& options, std::shared_ptr<InodeTable> table, std::function<void()> wake);

  /** Also asks again for what a killed predecessor left unanswered. */
  void Start();
  /** Requests since the last call; empty when there are none. */
  std::vector<Request> Drain();
  /** What may be released: the tags of data replies that are written. */
  std::vector<uint64_t> DrainWritten();
  /** True once kernel and server agree on a protocol. */
  bool Ready();
  /** True once the kernel has ended the connection; `error` is an errno, 0 for an unmount. */
  bool Ended(int* error);
  /** True where the kernel takes files that are lent to it. */
  bool Lends() const { return passthrough_ && !passthrough_lost_; }
  /** Ends the writing of data; when it returns, no reply's memory is in use. */
  void CloseReplies();

  std::vector<Progress> DrainProgress();

  /**
   * From now on readings of this inode are answered from the file, where it has the bytes. Not if the
   * inode's content has another hash than these 32 bytes: its number may be another's by now.
   */
  void Attach(uint64_t ino, std::shared_ptr<CacheFile> file, const uint8_t* hash);
  bool IsAttached(uint64_t ino) { return FileOf(ino) != nullptr; }
  void Detach(uint64_t ino);
  /** Tell once when a reading that the file has answers goes beyond this offset. */
  void SetMark(uint64_t ino, uint64_t offset);

  // Each request is answered once. What comes later, or for one that was interrupted, is dropped.
  void ReplyError(uint64_t id, int error);
  void ReplyEntry(uint64_t id, const Node* node);
  /** `entries` in the form that EntryReader reads; formats those that fit. */
  void ReplyDirectory(const Request& request, uint64_t parent_ino, const uint8_t* entries, size_t length);
  /**
   * The same from the bytes of a leaf whose first entry has the number `first`. False, and nothing
   * is answered, when they are not understood.
   */
  bool ReplyLeaf(const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first);
  /**
   * Keeps a leaf that is all of the directory with this hash: from now on lookups and listings of
   * it are answered from there. False when it is not understood.
   */
  bool KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length);
  /** Keeps the content of files that are one chunk with this hash: it is read from there. */
  void KeepChunk(const uint8_t* hash, const uint8_t* bytes, size_t length) { chunks_.Keep(hash, bytes, length); }
  /** Answers a lookup or listing from a leaf that was kept; false when there is none. */
  bool ReplyKept(const Request& request);
  void ReplyBytes(uint64_t id, const void* bytes, size_t length);
  /** Written by another thread, which closes the pieces' files; `tag` comes back from DrainWritten. */
  void ReplyPieces(uint64_t id, std::vector<Piece> pieces, uint64_t tag);
  /** From the attached file, by another thread; when it has not all of it, the request comes again. */
  void ReplyLocal(Request request);
  /** Lends the attached file to the kernel if it is sealed and nothing speaks against it. */
  void ReplyOpen(uint64_t id, uint64_t ino);

  Counters counters;

 private:
  struct DataReply {
    uint64_t id, tag;
    std::vector<Piece> pieces;
    std::unique_ptr<Request> local;
  };
  struct Attached {
    std::shared_ptr<CacheFile> file;
    uint64_t mark = UINT64_MAX;
    /** Bytes that the kernel got and the page cache has not beside, and those that it got from the file. */
    uint64_t kernels_alone = 0, from_file = 0;
  };
  /** Who waits for the answer to a request. */
  struct Asker {
    uint64_t unique;
    uint32_t pid;
  };

  template <class Loop>
  void StartThread(Loop loop);
  void ReadLoop();
  void WriteLoop();
  void InterruptLoop();
  void End(int error);

  void Handle(const uint8_t* bytes, size_t length);
  void Open(const fuse::InHeader& header);
  void Release(uint64_t ino);
  /** The answer to an open, with which the file counts as open. */
  fuse::OpenOut Opened(uint64_t ino);
  int32_t Lend(int fd);
  void Forget(uint64_t ino, uint64_t lookups);
  std::shared_ptr<CacheFile> FileOf(uint64_t ino);
  /** Answers a reading from the attached file; false when that has not all of it. */
  bool ReadLocally(uint64_t unique, const Request& request);
  void WriteLocal(DataReply* reply);
  void Count(uint64_t ino, const std::vector<CacheFile::Part>& parts);
  /** Null unless the kernel is better off with the file than with what it keeps itself. */
  std::shared_ptr<CacheFile> Lendable(uint64_t ino);
  void Negotiate(const fuse::InHeader& header, const fuse::InitIn& in);
  void Enqueue(Request request, const fuse::InHeader& header);
  /** Lets go an asker that wants out. False while it may come to want it. */
  bool LetGo(uint64_t unique, bool known_before);
  /** False when the request was answered before. */
  bool Take(uint64_t id, uint64_t* unique);

  struct Kept {
    uint64_t parent;
    KeptBytes::Bytes leaf;
  };
  bool AnswerKept(uint64_t unique, const Request& request);
  bool ReadKept(uint64_t unique, const Request& request);
  bool FindKept(uint64_t ino, Kept* kept);
  void WriteKept(const Request& request, uint64_t unique, const Kept& kept);
  void WriteLeaf(const Request& request, uint64_t unique, uint64_t parent_ino, const uint8_t* bytes, size_t length,
                 uint64_t first);
  /** The entry, or that there is none. */
  void WriteEntry(uint64_t unique, const Node* node);
  void WriteData(const DataReply& reply, std::vector<uint8_t>* scratch);
  /** `next` gives the entries (with the parent not set) until it is false. */
  void WriteDirectory(const Request& request, uint64_t unique, uint64_t parent_ino, const std::function<bool(Entry*)>& next);
  bool Send(uint64_t unique, int error, const void* bytes, size_t length);
  /** False when the kernel did not take it. */
  bool SendParts(const struct iovec* parts, int count);
  fuse::EntryOut EntryOf(const Node& node);
  fuse::Attr AttrOf(uint64_t ino, const Node& node) const;

  const Options options_;
  const std::shared_ptr<InodeTable> table_;
  const std::function<void()> wake_;

  KeptBytes leaves_, chunks_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<Request> ring_;
  /** By request id; all that are not answered, also those in JavaScript's hands. */
  std::unordered_map<uint64_t, Asker> pending_;
  std::vector<uint64_t> written_;
  std::vector<Progress> progress_;
  uint64_t next_id_ = 1;
  bool ready_ = false, ended_ = false;
  int error_ = 0;

  std::mutex reply_mutex_;
  std::condition_variable reply_ready_, reply_idle_;
  std::deque<DataReply> replies_;
  unsigned writing_ = 0;
  bool closed_ = false;

  std::mutex files_mutex_;
  std::unordered_map<uint64_t, Attached> files_;
  /** Held from looking how a file is open to saying how it is opened. */
  std::mutex open_mutex_;
  std::atomic<bool> passthrough_{false}, passthrough_lost_{false};

  std::mutex interrupt_mutex_;
  std::condition_variable interrupt_ready_;
  std::vector<uint64_t> interrupted_;
  bool interrupts_closed_ = false;
};
