#include "fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include "../data/blob.h"
#include "../data/errors.h"

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr long kReceiveBytes = 96 << 10;
constexpr long kConnectSeconds = 10;

/** What reading past the page cache asks of memory, offsets and lengths. */
constexpr uint64_t kAlignment = 4096;

struct Freed {
  void operator()(uint8_t* bytes) const { std::free(bytes); }
};

/** Memory that a thread keeps for its next transfer: fresh pages cost more than what is done with them. */
struct Buffers {
  std::vector<uint8_t> stored, plain;

  /** Aligned memory for so many bytes, the same as before where that was enough. */
  uint8_t* Room(size_t length) {
    if (length > room_bytes_) {
      room_bytes_ = (length + kAlignment - 1) / kAlignment * kAlignment;
      room_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, room_bytes_)));
      if (!room_) throw std::bad_alloc();
    }
    return room_.get();
  }

 private:
  std::unique_ptr<uint8_t, Freed> room_;
  size_t room_bytes_ = 0;
};

/** Takes an object's bytes as they come and puts each chunk where it belongs. */
class Sink {
 public:
  Sink(const Transfer& transfer, Buffers* buffers)
      : transfer_(transfer), buffers_(buffers), at_(transfer.pieces.front().stored_offset) {}

  /** Throws what is wrong with a chunk or with the file. */
  void Take(const uint8_t* bytes, size_t length) {
    received += length;
    while (length > 0 && landed < transfer_.pieces.size()) {
      const FetchPiece& piece = transfer_.pieces[landed];
      if (at_ < piece.stored_offset) {
        const size_t gap = std::min<uint64_t>(length, piece.stored_offset - at_);
        Advance(&bytes, &length, gap);
        continue;
      }
      // A chunk that came in one piece is taken from where it is.
      if (filled_ == 0 && length >= piece.stored_length) {
        Land(piece, bytes);
        Advance(&bytes, &length, piece.stored_length);
        continue;
      }
      if (buffers_->stored.size() < piece.stored_length) buffers_->stored.resize(piece.stored_length);
      const size_t more = std::min<size_t>(length, piece.stored_length - filled_);
      std::memcpy(buffers_->stored.data() + filled_, bytes, more);
      filled_ += more;
      Advance(&bytes, &length, more);
      if (filled_ == piece.stored_length) Land(piece, buffers_->stored.data());
    }
  }

  size_t landed = 0;
  uint64_t received = 0;

 private:
  void Advance(const uint8_t** bytes, size_t* length, size_t by) {
    *bytes += by;
    *length -= by;
    at_ += by;
  }

  void Land(const FetchPiece& piece, const uint8_t* stored) {
    filled_ = 0;
    if (BlobPlainLength(stored, piece.stored_length, piece.plain_length) != piece.plain_length) {
      throw DamagedError("chunk: it has another length");
    }
    const uint8_t* plain = VerifiedInPlace(stored, piece.stored_length, piece.hash.data());
    if (plain == nullptr) {
      if (buffers_->plain.size() < piece.plain_length) buffers_->plain.resize(piece.plain_length);
      DecodeBlob(stored, piece.stored_length, buffers_->plain.data(), piece.plain_length, piece.hash.data());
      plain = buffers_->plain.data();
    }
    transfer_.file->Put(piece.file_offset, plain, piece.plain_length, piece.left || Follows(piece), piece.right);
    landed += 1;
    transfer_.landed(landed - 1);
  }

  /** True when the one before it in the file has just landed. */
  bool Follows(const FetchPiece& piece) const {
    if (landed == 0) return false;
    const FetchPiece& before = transfer_.pieces[landed - 1];
    return before.file_offset + before.plain_length == piece.file_offset;
  }

  const Transfer& transfer_;
  Buffers* const buffers_;
  uint64_t at_;
  size_t filled_ = 0;
};

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

/** True when the page cache has all of a range (Linux 6.5; others do not tell). */
bool IsCached(int fd, uint64_t offset, uint64_t length) {
#ifdef __linux__
  constexpr long kCachestat = 451;
  const uint64_t range[2] = {offset, length};
  uint64_t counts[5] = {};
  const uint64_t pages = (offset + length - 1) / kAlignment - offset / kAlignment + 1;
  return syscall(kCachestat, fd, range, counts, 0) == 0 && counts[0] >= pages;
#else
  static_cast<void>(fd), static_cast<void>(offset), static_cast<void>(length);
  return false;
#endif
}

size_t ReadSome(int fd, uint8_t* into, size_t length, uint64_t offset) {
  ssize_t got;
  do got = pread(fd, into, length, static_cast<off_t>(offset));
  while (got < 0 && errno == EINTR);
  if (got < 0) throw SystemError(errno, "read");
  return static_cast<size_t>(got);
}

/**
 * What is not in the page cache is read past it, where the file system can: it is wanted once, and
 * goes to the cache's own file.
 */
void FromFile(const Transfer& transfer, Buffers* buffers, Sink* sink) {
  const Descriptor file{open(transfer.path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) throw SystemError(errno, "open");
#ifdef O_DIRECT
  const Descriptor past{open(transfer.path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT)};
#else
  const Descriptor past{-1};
#endif
  uint64_t begin = transfer.pieces.front().stored_offset;
  for (size_t first = 0; first < transfer.pieces.size();) {
    // Whole chunks at a time: they are verified and written from where they are read.
    uint64_t end = begin;
    for (; first < transfer.pieces.size(); ++first) {
      const uint64_t next = transfer.pieces[first].stored_offset + transfer.pieces[first].stored_length;
      if (end > begin && next - begin > kReadBytes) break;
      end = next;
    }
    uint8_t* const bytes = buffers->Room(end - begin + 2 * kAlignment);
    const bool goes_past = past.fd >= 0 && !IsCached(file.fd, begin, end - begin);
    const uint64_t skipped = goes_past ? begin % kAlignment : 0;
    const uint64_t wanted = end - begin + skipped;
    const uint64_t length = goes_past ? (wanted + kAlignment - 1) / kAlignment * kAlignment : wanted;
    const size_t got = ReadSome(goes_past ? past.fd : file.fd, bytes, length, begin - skipped);
    if (got < wanted) throw std::runtime_error("the object is shorter than that");
    sink->Take(bytes + skipped, end - begin);
    begin = end;
  }
}

struct Receiver {
  CURL* curl;
  Sink* sink;
  uint64_t wanted;
  std::exception_ptr thrown;
};

size_t Receive(char* bytes, size_t, size_t length, void* context) {
  auto* receiver = static_cast<Receiver*>(context);
  try {
    long status = 0;
    curl_easy_getinfo(receiver->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 206) throw std::runtime_error("the server answered with status " + std::to_string(status));
    if (receiver->sink->received + length > receiver->wanted) throw std::runtime_error("the server sent more than was asked for");
    receiver->sink->Take(reinterpret_cast<const uint8_t*>(bytes), length);
    return length;
  } catch (...) {
    receiver->thrown = std::current_exception();
    return 0;
  }
}

void FromServer(CURL* curl, const Transfer& transfer, uint64_t end, Sink* sink) {
  const uint64_t begin = transfer.pieces.front().stored_offset;
  const std::string range = std::to_string(begin) + "-" + std::to_string(end - 1);
  Receiver receiver{curl, sink, end - begin, nullptr};
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, transfer.url.c_str());
  curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kReceiveBytes);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(transfer.timeout_seconds));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiver);
  if (!transfer.certificates.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, transfer.certificates.c_str());
  const CURLcode code = curl_easy_perform(curl);
  if (receiver.thrown) std::rethrow_exception(receiver.thrown);
  // What libcurl says never holds the address, and with it the signature.
  if (code != CURLE_OK) throw std::runtime_error(curl_easy_strerror(code));
}

struct FreeHandle {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

void CarryOut(CURL* curl, const Transfer& transfer, Buffers* buffers) {
  transfer.begun();
  Sink sink(transfer, buffers);
  std::string failure;
  try {
    const FetchPiece& last = transfer.pieces.back();
    const uint64_t end = last.stored_offset + last.stored_length;
    if (transfer.url.empty()) FromFile(transfer, buffers, &sink);
    else FromServer(curl, transfer, end, &sink);
    if (sink.landed != transfer.pieces.size()) failure = "the answer was cut";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  transfer.ended(sink.landed, sink.received, failure);
}

}  // namespace

void Fetcher::Add(Transfer transfer, bool urgent) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  (urgent ? urgent_ : queue_).push_back(std::move(transfer));
  ready_.notify_one();
  if (urgent_.size() + queue_.size() > idle_ && threads_ < threads_max_) {
    threads_ += 1;
    // Signals are for the threads of JavaScript.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([self = shared_from_this()] { self->Loop(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
}

void Fetcher::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  urgent_.clear();
  queue_.clear();
  ready_.notify_all();
}

void Fetcher::Loop() {
  const std::unique_ptr<CURL, FreeHandle> curl(curl_easy_init());
  Buffers buffers;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    while (!closed_ && urgent_.empty() && queue_.empty()) {
      idle_ += 1;
      ready_.wait(lock);
      idle_ -= 1;
    }
    if (closed_) return;
    std::deque<Transfer>& from = urgent_.empty() ? queue_ : urgent_;
    Transfer transfer = std::move(from.front());
    from.pop_front();
    lock.unlock();
    CarryOut(curl.get(), transfer, &buffers);
    transfer = Transfer{};
    lock.lock();
  }
}
