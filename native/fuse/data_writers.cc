#include "data_writers.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "../common/file_io.h"
#include "abi.h"

namespace {

constexpr size_t kZerosBytes = 256 * 1024;
/** Never written. It has no destructor, because threads outlive destructors at the end of the process. */
alignas(4096) uint8_t zeros[kZerosBytes];
/** Below IOV_MAX. */
constexpr size_t kPartsMax = 512;

}  // namespace

void DataWriters::Add(uint64_t id, std::vector<Piece> pieces, uint64_t tag) {
  Queue({id, tag, std::move(pieces), std::nullopt});
}

void DataWriters::AddLocal(Request request) {
  const uint64_t id = request.id;
  Queue({id, 0, {}, std::move(request)});
}

void DataWriters::Queue(Answer answer) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(answer));
  }
  ready_.notify_one();
}

std::vector<uint64_t> DataWriters::DrainWritten() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(written_, {});
}

void DataWriters::Run() {
  std::vector<uint8_t> scratch;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (closed_) return;
    Answer answer = std::move(queue_.front());
    queue_.pop_front();
    writing_ += 1;
    lock.unlock();
    bool first = false;
    if (answer.local) {
      WriteLocal(std::move(*answer.local));
      lock.lock();
    } else {
      Write(answer, &scratch);
      for (const Piece& piece : answer.pieces) {
        if (piece.fd >= 0) close(piece.fd);
      }
      lock.lock();
      written_.push_back(answer.tag);
      first = written_.size() == 1;
    }
    if (--writing_ == 0) idle_.notify_all();
    if (!first) continue;
    lock.unlock();
    wake_();
    lock.lock();
  }
}

void DataWriters::Close() {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  ready_.notify_all();
  idle_.wait(lock, [this] { return writing_ == 0; });
}

void DataWriters::WriteLocal(Request request) {
  const std::optional<uint64_t> unique = requests_.Find(request.id);
  if (!unique) return;
  // The request stays unanswered meanwhile, as it may go to JavaScript again. Should it be interrupted,
  // it is answered twice, and the kernel drops the second answer.
  if (files_.Answer(*unique, request) || (!files_.IsAttached(request.ino) && kept_.Answer(*unique, request))) {
    requests_.Take(request.id);
    return;
  }
  request.tries += 1;
  requests_.AddAgain(std::move(request));
}

void DataWriters::Write(const Answer& answer, std::vector<uint8_t>* scratch) {
  const std::optional<uint64_t> unique = requests_.Take(answer.id);
  if (!unique) return;
  size_t copied = 0, parts_needed = 1, total = 0;
  for (const Piece& piece : answer.pieces) {
    total += piece.length;
    if (piece.fd >= 0) copied += piece.length;
    parts_needed += piece.fd < 0 && piece.bytes == nullptr ? piece.length / kZerosBytes + 1 : 1;
  }
  if (total > fuse::kReadBytesMax) {
    channel_.Send(*unique, EIO, nullptr, 0);
    return;
  }
  // Too many parts for one call: they are put together first.
  bool together = parts_needed > kPartsMax;
  if (scratch->size() < (together ? total : copied)) scratch->resize(together ? total : copied);
  uint8_t* next = scratch->data();
  std::vector<iovec> parts(1);
  if (together) parts.push_back({next, total});
  for (const Piece& piece : answer.pieces) {
    if (piece.fd >= 0) {
      if (!ReadAt(piece.fd, next, piece.length, piece.offset)) {
        channel_.Send(*unique, EIO, nullptr, 0);
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
  if (channel_.SendParts(*unique, &parts, total)) counters_.bytes_read += total;
}
