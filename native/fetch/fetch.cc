#include "fetch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../common/file_io.h"
#include "../data/errors.h"
#include "sink.h"

namespace {

constexpr size_t kReadBytes = 1 << 20;
/** Bytes of one read from a disk: enough for its full speed. */
constexpr size_t kRunReadBytes = 4 << 20;
constexpr std::chrono::milliseconds kMovedEvery{200};
/** Threads that write to the disk: while one prepares its next write, the others keep the disk busy. */
constexpr unsigned kWriters = 3;
/** Ranges of which somebody waits for each: at most so many at a time. */
constexpr unsigned kRanges = 16;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

uint64_t UpToBlock(uint64_t bytes) { return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment; }

/**
 * An object in a folder. Bytes that are not in the page cache are read past it, where the file system
 * can do that: they are needed once, and go to the cache's own file.
 */
class ObjectFile {
 public:
  /** O_NONBLOCK: if a FIFO lies in the object's place, opening it must not block this thread. */
  explicit ObjectFile(const std::string& path) : file_{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}, past_{-1} {
    if (file_.fd < 0) throw SystemError(errno, "open");
    struct stat found;
    if (fstat(file_.fd, &found) != 0) throw SystemError(errno, "fstat");
    if (!S_ISREG(found.st_mode)) throw std::runtime_error("the object is not a regular file");
#ifdef O_DIRECT
    past_.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
#endif
  }

  /** Reads [from, to) to aligned memory, where there is room for whole blocks; `from` is a block's beginning. */
  void Read(uint64_t from, uint64_t to, uint8_t* into) const {
    const bool past = past_.fd >= 0 && !IsCached(file_.fd, from, to - from);
    const uint64_t length = past ? UpToBlock(to - from) : to - from;
    ssize_t got;
    do got = pread(past ? past_.fd : file_.fd, into, length, static_cast<off_t>(from));
    while (got < 0 && errno == EINTR);
    if (got < 0) throw SystemError(errno, "read");
    if (static_cast<uint64_t>(got) < to - from) throw std::runtime_error("the object is shorter than that");
  }

 private:
  const Descriptor file_;
  Descriptor past_;
};

/** Reads into the run where chunks can be used as they are stored; else the sink takes them. */
void FromFile(const Transfer& transfer, Buffers* buffers, Sink* sink) {
  const ObjectFile file(transfer.path);
  const uint64_t end = transfer.pieces.back().stored_offset + transfer.pieces.back().stored_length;
  uint64_t begin = transfer.pieces.front().stored_offset;
  if (uint8_t* into = sink->Stored()) {
    for (uint64_t from = begin - begin % kDirectAlignment; from < end; from += kRunReadBytes, into += kRunReadBytes) {
      const uint64_t to = std::min(end, from + kRunReadBytes);
      file.Read(from, to, into);
      sink->Came(to);
    }
    return;
  }
  for (size_t first = 0; first < transfer.pieces.size();) {
    // Whole chunks at a time: they are verified and written from where they are read.
    uint64_t until = begin;
    for (; first < transfer.pieces.size(); ++first) {
      const uint64_t next = transfer.pieces[first].stored_offset + transfer.pieces[first].stored_length;
      if (until > begin && next - begin > kReadBytes) break;
      until = next;
    }
    const uint64_t skipped = begin % kDirectAlignment;
    uint8_t* const bytes = buffers->Room(UpToBlock(until - begin + skipped));
    file.Read(begin - skipped, until, bytes);
    sink->Take(bytes + skipped, until - begin);
    begin = until;
  }
}

/** A transfer with its sink, first in a fetching thread, then in one that writes to the disk. */
struct UnderWay {
  UnderWay(Transfer given, Rooms* rooms) : transfer(std::move(given)), sink(std::in_place, transfer, rooms) {}

  const Transfer transfer;
  std::optional<Sink> sink;
  std::string failure;
};

/** Feeds a sink from a server. */
class Feeding : public Taker {
 public:
  Feeding(const Transfer& transfer, Sink* sink) : transfer_(transfer), sink_(sink) {}

  void Take(const uint8_t* bytes, size_t length) override {
    sink_->Take(bytes, length);
    if (const auto now = std::chrono::steady_clock::now(); now - told_ >= kMovedEvery) {
      told_ = now;
      transfer_.moved(sink_->received);
    }
  }
  bool HasAll() const override { return sink_->landed == transfer_.pieces.size(); }

 private:
  const Transfer& transfer_;
  Sink* const sink_;
  std::chrono::steady_clock::time_point told_ = std::chrono::steady_clock::now();
};

void FromServer(const Transfer& transfer, Sink* sink) {
  const uint64_t begin = transfer.pieces.front().stored_offset;
  const uint64_t end = transfer.pieces.back().stored_offset + transfer.pieces.back().stored_length;
  Feeding feeding(transfer, sink);
  Ask({transfer.server, begin, end, transfer.given_up.get()}, &feeding);
}

void Receive(UnderWay* under) {
  thread_local Buffers buffers;
  under->transfer.begun();
  try {
    under->sink->Begin(&buffers);
    if (*under->transfer.given_up) throw std::runtime_error("it was given up");
    if (under->transfer.server.url.empty()) FromFile(under->transfer, &buffers, &*under->sink);
    else FromServer(under->transfer, &*under->sink);
    if (under->sink->landed != under->transfer.pieces.size()) under->failure = "the answer was cut";
  } catch (const std::exception& error) {
    under->failure = error.what();
  }
}

void Write(UnderWay* under) {
  try {
    under->sink->Finish();
  } catch (const std::exception& error) {
    under->failure = error.what();
  }
  const size_t landed = under->sink->landed;
  const uint64_t received = under->sink->received;
  under->sink.reset();
  under->transfer.ended(landed, received, under->failure);
}

}  // namespace

Fetcher::Fetcher(unsigned transfers, size_t rooms)
    : rooms_(std::make_shared<Rooms>(rooms)),
      receiving_(std::make_shared<Workers>(transfers)),
      ranges_(std::make_shared<Workers>(kRanges)),
      writing_(std::make_shared<Workers>(kWriters)) {}

Fetcher::~Fetcher() {
  receiving_->Close();
  ranges_->Close();
  writing_->Close();
}

void Fetcher::Add(Transfer transfer) {
  const bool urgent = transfer.urgent;
  receiving_->Add(
      [transfer = std::move(transfer), rooms = rooms_, writing = writing_]() mutable {
        auto under = std::make_shared<UnderWay>(std::move(transfer), rooms.get());
        Receive(under.get());
        writing->Add([under] { Write(under.get()); }, false);
      },
      urgent);
}

void Fetcher::Add(Download download) {
  const bool urgent = download.urgent;
  receiving_->Add([download = std::move(download)] { Carry(download); }, urgent);
}

void Fetcher::Add(Range range) {
  ranges_->Add([range = std::move(range)] { Carry(range); }, true);
}
