// Verified bytes by the hash that names them (a directory's leaf, a file's chunk), from which requests
// are answered. When there are too many, those used longest ago are dropped. Readers share what they
// got, so it may be dropped meanwhile.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

class KeptBytes {
 public:
  using Bytes = std::shared_ptr<const std::vector<uint8_t>>;

  explicit KeptBytes(size_t bytes_max) : bytes_max_(bytes_max) {}

  /** Copies what has this hash of 32 bytes; returns the copy, or the one that was there. */
  Bytes Keep(const uint8_t* hash, const uint8_t* bytes, size_t length) {
    auto copy = std::make_shared<const std::vector<uint8_t>>(bytes, bytes + length);
    const Key key = KeyOf(hash);
    std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = kept_.find(key); found != kept_.end()) return found->second->bytes;
    used_.push_back({key, copy});
    kept_[key] = std::prev(used_.end());
    bytes_ += length;
    while (bytes_ > bytes_max_ && used_.size() > 1) {
      bytes_ -= used_.front().bytes->size();
      kept_.erase(used_.front().key);
      used_.pop_front();
    }
    return copy;
  }

  /** Null when there is none. */
  Bytes Get(const uint8_t* hash) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = kept_.find(KeyOf(hash));
    if (found == kept_.end()) return nullptr;
    used_.splice(used_.end(), used_, found->second);
    return found->second->bytes;
  }

 private:
  using Key = std::array<uint8_t, 32>;
  struct Kept {
    Key key;
    Bytes bytes;
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
