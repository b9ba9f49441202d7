#include "session.h"

#include <pthread.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <thread>
#include <utility>

namespace {

/** Requests that wait or are being answered at once. Beyond, the kernel's own queue holds them. */
constexpr size_t kPendingMax = 1024;
/** They also read from the disk. */
constexpr unsigned kReaders = 8;
constexpr unsigned kWriters = 2;
constexpr size_t kBufferBytes = fuse::kMaxWrite + 8192;
constexpr size_t kLeafBytesMax = 8 << 20, kChunkBytesMax = 8 << 20;

}  // namespace

Session::Session(const Options& options, std::shared_ptr<InodeTable> table, std::function<void()> wake)
    : options_(options), table_(std::move(table)), wake_(std::move(wake)), leaves_(kLeafBytesMax), chunks_(kChunkBytesMax) {}

/** Signals are for the threads of JavaScript. */
template <class Loop>
void Session::StartThread(Loop loop) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([self = shared_from_this(), loop] { (self.get()->*loop)(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Session::Start() {
  uint32_t minor;
  uint64_t flags;
  if (table_->Negotiated(&minor, &flags)) {
    ready_ = true;
    passthrough_ = (flags & fuse::kPassthrough) != 0;
    fuse::OutHeader resend{sizeof resend, fuse::kNotifyResend, 0};
    iovec part{&resend, sizeof resend};
    if ((flags & fuse::kHasResend) != 0) SendParts(&part, 1);
  }
  for (unsigned i = 0; i < kReaders; ++i) StartThread(&Session::ReadLoop);
  for (unsigned i = 0; i < kWriters; ++i) StartThread(&Session::WriteLoop);
  StartThread(&Session::InterruptLoop);
}

void Session::ReadLoop() {
  std::vector<uint8_t> buffer(kBufferBytes);
  for (;;) {
    ssize_t got = read(options_.device, buffer.data(), buffer.size());
    if (got > 0) {
      Handle(buffer.data(), static_cast<size_t>(got));
    } else if (got == 0) {
      return End(0);
    } else if (errno != EINTR && errno != EAGAIN && errno != ENOENT) {
      // ENOENT is a request that was taken back while it was copied, ENODEV the unmount.
      return End(errno == ENODEV ? 0 : errno);
    }
  }
}

void Session::End(int error) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(ended_, true)) return;
    error_ = error;
  }
  {
    std::lock_guard<std::mutex> lock(interrupt_mutex_);
    interrupts_closed_ = true;
  }
  interrupt_ready_.notify_all();
  room_.notify_all();
  wake_();
}

void Session::Enqueue(Request request, const fuse::InHeader& header) {
  bool first;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    room_.wait(lock, [this] { return pending_.size() < kPendingMax || ended_; });
    if (ended_) return;
    request.id = next_id_++;
    pending_.emplace(request.id, Asker{header.unique, header.pid});
    ring_.push_back(std::move(request));
    if (ring_.size() > counters.ring_max) counters.ring_max = ring_.size();
    first = ring_.size() == 1;
  }
  if (first) wake_();
}

std::vector<Request> Session::Drain() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Request> batch(std::make_move_iterator(ring_.begin()), std::make_move_iterator(ring_.end()));
  ring_.clear();
  return batch;
}

std::vector<uint64_t> Session::DrainWritten() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(written_, {});
}

std::vector<Progress> Session::DrainProgress() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(progress_, {});
}

bool Session::Ready() {
  std::lock_guard<std::mutex> lock(mutex_);
  return ready_;
}

bool Session::Ended(int* error) {
  std::lock_guard<std::mutex> lock(mutex_);
  *error = error_;
  return ended_;
}

bool Session::Take(uint64_t id, uint64_t* unique) {
  bool was_full;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = pending_.find(id);
    if (found == pending_.end()) return false;
    *unique = found->second.unique;
    was_full = pending_.size() >= kPendingMax;
    pending_.erase(found);
  }
  if (was_full) room_.notify_one();
  return true;
}

void Session::ReplyPieces(uint64_t id, std::vector<Piece> pieces, uint64_t tag) {
  {
    std::lock_guard<std::mutex> lock(reply_mutex_);
    replies_.push_back({id, tag, std::move(pieces), nullptr});
  }
  reply_ready_.notify_one();
}

void Session::WriteLoop() {
  std::vector<uint8_t> scratch;
  std::unique_lock<std::mutex> lock(reply_mutex_);
  for (;;) {
    reply_ready_.wait(lock, [this] { return closed_ || !replies_.empty(); });
    if (closed_) return;
    DataReply reply = std::move(replies_.front());
    replies_.pop_front();
    writing_ += 1;
    lock.unlock();
    if (reply.local) {
      WriteLocal(&reply);
      lock.lock();
      if (--writing_ == 0) reply_idle_.notify_all();
      continue;
    }
    WriteData(reply, &scratch);
    for (const Piece& piece : reply.pieces) {
      if (piece.fd >= 0) close(piece.fd);
    }
    bool first;
    {
      std::lock_guard<std::mutex> guard(mutex_);
      written_.push_back(reply.tag);
      first = written_.size() == 1;
    }
    if (first) wake_();
    lock.lock();
    if (--writing_ == 0) reply_idle_.notify_all();
  }
}

void Session::CloseReplies() {
  std::unique_lock<std::mutex> lock(reply_mutex_);
  closed_ = true;
  reply_ready_.notify_all();
  reply_idle_.wait(lock, [this] { return writing_ == 0; });
}
