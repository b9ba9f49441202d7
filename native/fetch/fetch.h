// Brings chunks from where they are stored into a cache file, on threads of its own, so that no byte of
// them passes through JavaScript. A transfer is one range of one object, from a web server by libcurl or
// from a file. Each chunk in it is verified as soon as it is whole, and written.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../common/cache_file.h"
#include "../data/hash.h"
#include "download.h"
#include "range.h"
#include "server.h"
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
  /** The file to read when the server has no address. */
  std::string path;
  Server server;
  /** Ascending by stored_offset; what lies between is fetched and dropped. */
  std::vector<FetchPiece> pieces;
  std::shared_ptr<CacheFile> file;
  /** A reader waits for it: it starts before transfers that are not urgent. */
  bool urgent;
  /** A reader in this process will want it: it may stay in memory until then. */
  bool held;
  /** All of it goes to the file; else what finds room in memory does not, and is gone once it was read. */
  bool kept = true;
  /** Set from any thread to give the transfer up: it ends soon after, with the chunks that have landed. */
  std::shared_ptr<std::atomic<bool>> given_up;
  // The rest is called from fetching threads.
  /** Its turn has come. */
  std::function<void()> begun;
  /** Now and then: so many bytes have come from a server up to now. */
  std::function<void(uint64_t)> moved;
  /** This piece can be read. */
  std::function<void(size_t)> landed;
  /** Last, when the file has what landed: how many pieces did, bytes that came, and what went wrong (empty: nothing; "refused": the server does not accept the address). */
  std::function<void(size_t, uint64_t, std::string)> ended;
};

/**
 * Carries out transfers, some at a time. Other threads write what has come to the disk, so that no
 * connection waits for that.
 */
class Fetcher {
 public:
  /** Carries out at most `transfers` at a time, with memory for `rooms` runs (common/runs.h). */
  Fetcher(unsigned transfers, size_t rooms);
  ~Fetcher();

  void Add(Transfer transfer);
  void Add(Download download);
  /** These have threads of their own: they are short, and somebody waits for each. */
  void Add(Range range);
  /** Changes how many may run at a time. */
  void Limit(unsigned transfers) { receiving_->Limit(transfers); }

 private:
  const std::shared_ptr<Rooms> rooms_;
  const std::shared_ptr<Workers> receiving_, ranges_, writing_;
};
