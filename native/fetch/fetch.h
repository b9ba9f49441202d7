// Chunks from where they are stored into a cache file, on threads of its own: no byte of them is
// seen by JavaScript. A transfer is one range of one object, from a web server by libcurl or from
// a file; each chunk in it is verified as soon as it is whole, and written.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../common/cache_file.h"
#include "../data/hash.h"

/** A chunk of a transfer: where it is stored, in bytes from the object's start, and where it goes. */
struct FetchPiece {
  uint64_t stored_offset;
  uint32_t stored_length, plain_length;
  uint64_t file_offset;
  Hash hash;
  bool left, right;  // as CacheFile::Put takes them
};

struct Transfer {
  /** A path when `url` is empty. */
  std::string path, url, certificates;
  /** Ascending by stored_offset; what lies between is fetched and dropped. */
  std::vector<FetchPiece> pieces;
  std::shared_ptr<CacheFile> file;
  unsigned timeout_seconds;
  /** Told from the fetching thread when its turn has come. */
  std::function<void()> begun;
  /** Told from the fetching thread of each piece that is in the file. */
  std::function<void(size_t)> landed;
  /** Told last: how many pieces landed, bytes that came, and what went wrong (empty: nothing). */
  std::function<void(size_t, uint64_t, std::string)> ended;
};

/** Threads that carry out transfers, as many at once as there are. */
class Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  explicit Fetcher(unsigned threads) : threads_max_(threads) {}
  /** Urgent ones go before those that wait and are not. */
  void Add(Transfer transfer, bool urgent);
  /** Drops what waits, without telling. What is under way ends by itself. */
  void Close();

 private:
  void Loop();

  const unsigned threads_max_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Transfer> urgent_, queue_;
  unsigned threads_ = 0, idle_ = 0;
  bool closed_ = false;
};
