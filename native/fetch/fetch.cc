#include "fetch.h"

#include <curl/curl.h>
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
constexpr long kReceiveBytes = 96 << 10;
constexpr long kConnectSeconds = 10;
/** A connection that is slower than this many bytes a second for the whole timeout counts as dead. */
constexpr long kBytesPerSecondMin = 1024;
/** How often a transfer that waits for its server looks whether it was given up. */
constexpr int kPollMs = 100;
constexpr std::chrono::milliseconds kMovedEvery{200};
/** Threads that write to the disk: while one prepares its next write, the others keep the disk busy. */
constexpr unsigned kWriters = 3;

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

struct Receiver {
  CURL* curl;
  Sink* sink;
  const Transfer* transfer;
  uint64_t wanted;
  std::chrono::steady_clock::time_point told;
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
    if (const auto now = std::chrono::steady_clock::now(); now - receiver->told >= kMovedEvery) {
      receiver->told = now;
      receiver->transfer->moved(receiver->sink->received);
    }
    return length;
  } catch (...) {
    receiver->thrown = std::current_exception();
    return 0;
  }
}

struct FreeHandle {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

struct FreeConnections {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/** What a thread keeps from one transfer to the next. */
struct Kept {
  std::unique_ptr<CURLM, FreeConnections> connections{curl_multi_init()};
  std::unique_ptr<CURL, FreeHandle> curl{curl_easy_init()};
  Buffers buffers;
};

/** Carries out a prepared request. Stops when the transfer was given up, unless all bytes are there: then the connection can be kept. */
CURLcode Perform(const Kept& kept, const Transfer& transfer, const Sink& sink) {
  CURLM* const multi = kept.connections.get();
  CURL* const curl = kept.curl.get();
  struct Added {
    CURLM* multi;
    CURL* curl;
    ~Added() { curl_multi_remove_handle(multi, curl); }
  };
  if (curl_multi_add_handle(multi, curl) != CURLM_OK) return CURLE_FAILED_INIT;
  const Added added{multi, curl};
  for (int running = 1;;) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (*transfer.given_up && sink.landed < transfer.pieces.size()) return CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
  }
  int left = 0;
  const CURLMsg* const message = curl_multi_info_read(multi, &left);
  return message == nullptr ? CURLE_FAILED_INIT : message->data.result;
}

void FromServer(const Kept& kept, const Transfer& transfer, Sink* sink) {
  CURL* const curl = kept.curl.get();
  const uint64_t begin = transfer.pieces.front().stored_offset;
  const uint64_t end = transfer.pieces.back().stored_offset + transfer.pieces.back().stored_length;
  const std::string range = std::to_string(begin) + "-" + std::to_string(end - 1);
  Receiver receiver{curl, sink, &transfer, end - begin, std::chrono::steady_clock::now(), nullptr};
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, transfer.url.c_str());
  curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // Proxies are decided in TypeScript, for all requests alike: the environment must not count here.
  curl_easy_setopt(curl, CURLOPT_PROXY, transfer.proxy.c_str());
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kReceiveBytes);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kBytesPerSecondMin);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(transfer.timeout_seconds));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ReceiveSome);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiver);
  if (!transfer.certificates.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, transfer.certificates.c_str());
    curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, transfer.certificates.c_str());
  }
  const CURLcode code = Perform(kept, transfer, *sink);
  if (receiver.thrown) std::rethrow_exception(receiver.thrown);
  // libcurl's messages never hold the address, so the signature in it does not leak.
  if (code != CURLE_OK) throw std::runtime_error(curl_easy_strerror(code));
}

/** A transfer with its sink, first in a fetching thread, then in one that writes to the disk. */
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
    if (*under->transfer.given_up) throw std::runtime_error("it was given up");
    if (under->transfer.url.empty()) FromFile(under->transfer, &kept.buffers, &*under->sink);
    else FromServer(kept, under->transfer, &*under->sink);
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
