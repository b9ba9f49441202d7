#include "fetch.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "../common/file_io.h"
#include "../data/errors.h"
#include "sink.h"

namespace {

constexpr size_t kReadBytes = 1 << 20;
/** Where memory need not be near: enough for a disk to give what it can. */
constexpr size_t kRunReadBytes = 4 << 20;
constexpr long kReceiveBytes = 96 << 10;
constexpr long kConnectSeconds = 10;
/** A disk is busy while one of them prepares what is next. */
constexpr unsigned kWriters = 3;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

uint64_t UpToBlock(uint64_t bytes) { return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment; }

/**
 * An object in a folder. What is not in the page cache is read past it, where the file system can:
 * it is wanted once, and goes to the cache's own file.
 */
class ObjectFile {
 public:
  /** A FIFO in the place of the object must not hold this thread until somebody writes to it. */
  explicit ObjectFile(const std::string& path) : file_{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}, past_{-1} {
    if (file_.fd < 0) throw SystemError(errno, "open");
    struct stat found;
    if (fstat(file_.fd, &found) != 0) throw SystemError(errno, "fstat");
    if (!S_ISREG(found.st_mode)) throw std::runtime_error("the object is no regular file");
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

/** Into the run where chunks can be read as they are stored, and else by the sink. */
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

struct Receiver {
  CURL* curl;
  Sink* sink;
  uint64_t wanted;
  std::exception_ptr thrown;
};

size_t ReceiveSome(char* bytes, size_t, size_t length, void* context) {
  auto* receiver = static_cast<Receiver*>(context);
  try {
    long status = 0;
    curl_easy_getinfo(receiver->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 400 || status == 401 || status == 403) throw std::runtime_error("refused");
    if (status != 206) throw std::runtime_error("the server answered with status " + std::to_string(status));
    if (receiver->sink->received + length > receiver->wanted) throw std::runtime_error("the server sent more than was asked for");
    receiver->sink->Take(reinterpret_cast<const uint8_t*>(bytes), length);
    return length;
  } catch (...) {
    receiver->thrown = std::current_exception();
    return 0;
  }
}

void FromServer(CURL* curl, const Transfer& transfer, Sink* sink) {
  const uint64_t begin = transfer.pieces.front().stored_offset;
  const uint64_t end = transfer.pieces.back().stored_offset + transfer.pieces.back().stored_length;
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
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ReceiveSome);
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

/** What a thread keeps from one transfer to the next. */
struct Kept {
  std::unique_ptr<CURL, FreeHandle> curl{curl_easy_init()};
  Buffers buffers;
};

/** A transfer whose bytes are being taken, and then put on the disk. */
struct UnderWay {
  UnderWay(Transfer given, Rooms* rooms) : transfer(std::move(given)), sink(std::in_place, transfer, rooms) {}

  const Transfer transfer;
  std::optional<Sink> sink;
  std::string failure;
};

void Receive(UnderWay* under) {
  thread_local Kept kept;
  under->transfer.begun();
  try {
    under->sink->Begin(&kept.buffers);
    if (under->transfer.url.empty()) FromFile(under->transfer, &kept.buffers, &*under->sink);
    else FromServer(kept.curl.get(), under->transfer, &*under->sink);
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
      writing_(std::make_shared<Workers>(kWriters)) {}

Fetcher::~Fetcher() {
  receiving_->Close();
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
