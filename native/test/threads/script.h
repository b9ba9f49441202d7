// JavaScript: one thread that takes requests and replies in all the ways there are.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>

#include "../../fuse/session.h"
#include "files.h"

namespace threads {

/** What JavaScript does: one thread, woken, that takes requests and replies. */
class Script {
 public:
  Script(Files* files, std::shared_ptr<InodeTable> table) : files_(files), table_(std::move(table)), leaf_(Leaf()) {}

  void Run(int device) {
    Options options{device, 0, 0, 1 << 20, kFiles, 1, false, StoredBlobs::Form::kExtents, files_->extents().folder()};
    session_ = std::make_shared<Session>(options, table_, [this] { Wake(); });
    // What is read from there for the first time is damaged; what is right is kept in memory.
    for (uint64_t file = 0; file < kFiles; ++file) files_->extents().Change(file, 1);
    session_->kept().Hear(100);
    session_->Start();
    int error = 0;
    while (!session_->Ended(&error)) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        woken_.wait_for(lock, std::chrono::milliseconds(50), [this] { return is_woken_; });
        is_woken_ = false;
      }
      Deliver();
    }
    const Counters& counters = session_->counters;
    if (counters.local_reads == 0 || counters.kept_answers == 0 || counters.interrupts == 0 || counters.stored_reads == 0 ||
        counters.damaged_reads == 0 || heard_ == 0) Fail("not all ways were taken");
    session_->CloseReplies();
    // Those that fetch may still wake it.
    std::weak_ptr<Session> gone = session_;
    session_.reset();
    while (!gone.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (error != 0) Fail("the session ended with an error");
  }

 private:
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    is_woken_ = true;
    woken_.notify_one();
  }

  void Deliver() {
    for (uint64_t tag : session_->writers().DrainWritten()) held_.erase(tag);
    for (const Progress& progress : session_->files().DrainProgress()) session_->files().SetMark(progress.ino, progress.offset + 500'000);
    heard_ += session_->kept().DrainMet().size();
    if (random_() % 16 == 0) session_->kept().Watch(NodeOf(random_() % kFiles).hash);
    files_->extents().Change(random_() % kFiles, random_() % 4);
    if (session_->counters.reply_errors != 0) Fail("a reply was refused");
    std::vector<Request> batch = session_->requests().Drain(), filled;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      filled.swap(filled_);
    }
    for (Request& request : batch) Answer(std::move(request));
    for (Request& request : filled) session_->writers().AddLocal(std::move(request));
    if (random_() % 64 == 0) session_->files().Detach(2 + random_() % kFiles);
    if (random_() % 64 == 0) files_->Of(random_() % kLargeFiles)->Drop(random_() % 2'900'000, 9'000);
    if (random_() % 256 == 0) table_->Count();
  }

  void Answer(Request request) {
    Node node;
    if (!table_->Get(request.ino, &node)) return session_->ReplyError(request.id, ESTALE);
    switch (request.opcode) {
      case fuse::kLookup: {
        if (IsKept(request)) return;
        const uint64_t file = static_cast<uint64_t>(std::atoi(request.name.c_str() + 1));
        if (file >= kFiles) return session_->ReplyAbsent(request.id, kValidForEver);
        const uint16_t length = static_cast<uint16_t>(request.name.size());
        return session_->ReplyEntry(request.id, {NodeOf(file), request.name.data(), length, kValidForEver, 0});
      }
      case fuse::kReaddir:
      case fuse::kReaddirplus: {
        if (IsKept(request)) return;
        if (random_() % 2 == 0 && session_->ReplyLeaf(request, fuse::kRootIno, leaf_.data(), leaf_.size(), 0)) return;
        const std::vector<uint8_t> entries = Entries(request.offset < 2 ? 0 : request.offset - 2);
        return session_->ReplyDirectory(request, fuse::kRootIno, entries.data(), entries.size());
      }
      case fuse::kOpen:
        Attach(request.ino, node);
        return session_->ReplyOpen(request.id, request.ino);
      case fuse::kRead:
        return Read(std::move(request), node);
      default:
        return session_->ReplyBytes(request.id, "value", 5);
    }
  }

  /** The leaf is kept late, so that the other ways come first. */
  bool IsKept(const Request& request) {
    if (++asked_ < 200) return false;
    return session_->kept().KeepLeaf(Root().hash, leaf_.data(), leaf_.size()) && session_->ReplyKept(request);
  }

  void Attach(uint64_t ino, const Node& node) {
    if (node.ordinal >= kLargeFiles || session_->files().IsAttached(ino)) return;
    session_->files().Attach(ino, files_->Of(node.ordinal), node.hash);
    session_->files().SetMark(ino, 100'000);
  }

  void Read(Request request, const Node& node) {
    const uint64_t file = node.ordinal, end = std::min<uint64_t>(node.size, request.offset + request.size);
    if (request.offset >= end) return session_->writers().Add(request.id, {}, 0);
    if (file < kLargeFiles && request.tries < 3) {
      Attach(request.ino, node);
      const uint64_t from = request.offset;
      return files_->Fetch(file, from, end, [this, request = std::move(request)] {
        {
          std::lock_guard<std::mutex> lock(mutex_);
          filled_.push_back(request);
        }
        Wake();
      });
    }
    const uint64_t tag = next_tag_++;
    const std::vector<uint8_t>& bytes = held_[tag] = BytesOf(file, request.offset, end);
    if (file >= kLargeFiles && request.offset == 0 && bytes.size() == node.size && random_() % 8 == 0) {
      session_->kept().KeepChunk(node.hash, bytes.data(), bytes.size());
    }
    session_->writers().Add(request.id, {{bytes.data(), -1, 0, bytes.size()}}, tag);
  }

  Files* const files_;
  const std::shared_ptr<InodeTable> table_;
  const std::vector<uint8_t> leaf_;
  std::shared_ptr<Session> session_;
  std::map<uint64_t, std::vector<uint8_t>> held_;
  Random random_{1};
  uint64_t next_tag_ = 1, asked_ = 0, heard_ = 0;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::vector<Request> filled_;
  bool is_woken_ = false;
};

}  // namespace threads
