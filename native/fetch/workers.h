// A pool of threads that grows with its work, up to a limit that may change.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

/** Its threads hold it, so it lives as long as the last of them. The mutex guards all that follows it. */
class Workers : public std::enable_shared_from_this<Workers> {
 public:
  explicit Workers(unsigned limit) : limit_(limit) {}
  /** Urgent work starts before other work that waits. */
  void Add(std::function<void()> work, bool urgent);
  /** Changes how much may run at a time. */
  void Limit(unsigned limit);
  /** Drops work that waits. Work that has begun ends by itself. */
  void Close();

 private:
  /** Starts threads for work that waits, up to the limit. */
  void Start();
  void Loop();

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::function<void()>> urgent_, queue_;
  unsigned limit_, threads_ = 0, busy_ = 0;
  bool closed_ = false;
};
