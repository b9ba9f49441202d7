// Directories that are one stored leaf each, by hash: requests about them are answered from here.
// Those used longest ago leave.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

class LeafCache {
 public:
  using Bytes = std::shared_ptr<const std::vector<uint8_t>>;

  explicit LeafCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  /** Copies a leaf whose directory has this hash of 32 bytes. */
  Bytes Keep(const uint8_t* hash, const uint8_t* bytes, size_t length) {
    auto leaf = std::make_shared<const std::vector<uint8_t>>(bytes, bytes + length);
    const Key key = KeyOf(hash);
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = leaves_.find(key);
    if (found != leaves_.end()) return found->second->leaf;
    used_.push_back({key, leaf});
    leaves_[key] = std::prev(used_.end());
    bytes_ += length;
    while (bytes_ > bytes_max_ && used_.size() > 1) {
      bytes_ -= used_.front().leaf->size();
      leaves_.erase(used_.front().key);
      used_.pop_front();
    }
    return leaf;
  }

  /** Null when there is none. */
  Bytes Get(const uint8_t* hash) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = leaves_.find(KeyOf(hash));
    if (found == leaves_.end()) return nullptr;
    used_.splice(used_.end(), used_, found->second);
    return found->second->leaf;
  }

 private:
  using Key = std::array<uint8_t, 32>;
  struct Kept {
    Key key;
    Bytes leaf;
  };

  static Key KeyOf(const uint8_t* hash) {
    Key key;
    std::memcpy(key.data(), hash, key.size());
    return key;
  }

  const size_t bytes_max_;
  std::mutex mutex_;
  /** Those used last at the end. */
  std::list<Kept> used_;
  std::map<Key, std::list<Kept>::iterator> leaves_;
  size_t bytes_ = 0;
};
