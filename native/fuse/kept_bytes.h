// Verified bytes by the hash that names them (a directory's leaf, a file's chunk), from which requests
// are answered. When there are too many, those used longest ago are dropped. Readers share what they
// got, so it may be dropped meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "blob_memory.h"

class KeptBytes {
 public:
  explicit KeptBytes(size_t bytes_max) : bytes_max_(bytes_max) {}

  /** Keeps what has this hash of 32 bytes. */
  void Keep(const uint8_t* hash, SharedBytes bytes) {
    const Key key = KeyOf(hash);
    std::list<Kept> dropped;  // let go of after the lock
    std::lock_guard<std::mutex> lock(mutex_);
    if (kept_.count(key) != 0) return;
    bytes_ += bytes.room;
    used_.push_back({key, std::move(bytes)});
    kept_[key] = std::prev(used_.end());
    while (bytes_ > bytes_max_ && used_.size() > 1) {
      bytes_ -= used_.front().bytes.room;
      kept_.erase(used_.front().key);
      dropped.splice(dropped.end(), used_, used_.begin());
    }
  }

  /** Nothing when there is none. */
  SharedBytes Get(const uint8_t* hash) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = kept_.find(KeyOf(hash));
    if (found == kept_.end()) return {};
    used_.splice(used_.end(), used_, found->second);
    return found->second->bytes;
  }

 private:
  using Key = std::array<uint8_t, 32>;
  struct Kept {
    Key key;
    SharedBytes bytes;
  };

  static Key KeyOf(const uint8_t* hash) {
    Key key;
    std::memcpy(key.data(), hash, key.size());
    return key;
  }

  const size_t bytes_max_;
  std::mutex mutex_;
  /** The last used at the end. */
  std::list<Kept> used_;
  std::map<Key, std::list<Kept>::iterator> kept_;
  size_t bytes_ = 0;
};
