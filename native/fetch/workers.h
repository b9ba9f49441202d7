// Threads that carry out what they are given, so many of them at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

/** Its threads share it, so it lives as long as the last of them. */
class Workers : public std::enable_shared_from_this<Workers> {
 public:
  explicit Workers(unsigned limit) : limit_(limit) {}
  /** Urgent work goes before what waits and is not. */
  void Add(std::function<void()> work, bool urgent);
  /** From now on so many at a time. */
  void Limit(unsigned limit);
  /** Drops what waits. What is under way ends by itself. */
  void Close();

 private:
  /** Threads for what waits, as far as there may be more. */
  void Start();
  void Loop();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> urgent_, queue_;
  unsigned limit_, threads_ = 0, busy_ = 0;
  bool closed_ = false;
};
