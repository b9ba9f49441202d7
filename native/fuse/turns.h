// Threads that want to do the same take turns at it, by the hash that names what it is.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <set>

class Turns {
  using Key = std::array<uint8_t, 32>;
  static Key KeyOf(const uint8_t* hash) {
    Key key;
    std::memcpy(key.data(), hash, key.size());
    return key;
  }

 public:
  /** Waits while another thread has the turn for this hash of 32 bytes, and has it until its end. */
  class Turn {
   public:
    Turn(Turns& turns, const uint8_t* hash) : turns_(turns), key_(KeyOf(hash)) {
      std::unique_lock<std::mutex> lock(turns_.mutex_);
      turns_.ended_.wait(lock, [this] { return turns_.taken_.insert(key_).second; });
    }
    ~Turn() {
      {
        std::lock_guard<std::mutex> lock(turns_.mutex_);
        turns_.taken_.erase(key_);
      }
      turns_.ended_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
    const Key key_;
  };

  /** True while a thread has the turn for this hash. */
  bool IsTaken(const uint8_t* hash) {
    std::lock_guard<std::mutex> lock(mutex_);
    return taken_.count(KeyOf(hash)) > 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::set<Key> taken_;
};
