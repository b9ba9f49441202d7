// Chunks from where they are stored into a cache file, on threads of its own: no byte of them is
// seen by JavaScript. A transfer is one range of one object, from a web server by libcurl or from
// a file; each chunk in it is verified as soon as it is whole, and written.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../common/cache_file.h"
#include "../data/hash.h"
#include "workers.h"

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
  std::string path, url, proxy, certificates;
  /** Ascending by stored_offset; what lies between is fetched and dropped. */
  std::vector<FetchPiece> pieces;
  std::shared_ptr<CacheFile> file;
  unsigned timeout_seconds;
  /** Somebody waits for it: it goes before those that are not urgent. */
  bool urgent;
  /** Somebody will read it here: it may stay in memory until then. */
  bool held;
  /** Set by whoever gives it up: then it ends soon, with what has landed. */
  std::shared_ptr<std::atomic<bool>> given_up;
  /** Told from the fetching thread when its turn has come. */
  std::function<void()> begun;
  /** Told from the fetching thread, now and then, how many bytes have come from a server. */
  std::function<void(uint64_t)> moved;
  /** Told from the fetching thread of each piece that can be read. */
  std::function<void(size_t)> landed;
  /** Told last, when the file has what landed: how many pieces did, bytes that came, and what went wrong (empty: nothing; "refused": the server does not accept the address). */
  std::function<void(size_t, uint64_t, std::string)> ended;
};

/**
 * Carries out transfers, some at a time. What has come is put on the disk beside, so that no
 * connection waits for that.
 */
class Fetcher {
 public:
  /** `transfers` at a time; `rooms`: for so many runs there is memory, between the store and their readers. */
  Fetcher(unsigned transfers, size_t rooms);
  ~Fetcher();

  void Add(Transfer transfer);
  /** From now on so many at a time. */
  void Limit(unsigned transfers) { receiving_->Limit(transfers); }

 private:
  const std::shared_ptr<Rooms> rooms_;
  const std::shared_ptr<Workers> receiving_, writing_;
};
