#include "workers.h"

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

void Workers::Add(std::function<void()> work, bool urgent) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  (urgent ? urgent_ : queue_).push_back(std::move(work));
  ready_.notify_one();
  Start();
}

/** The caller holds the lock. */
void Workers::Start() {
  while (urgent_.size() + queue_.size() > threads_ - busy_ && threads_ < limit_) {
    threads_ += 1;
    // Signals are for the threads of JavaScript.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([self = shared_from_this()] { self->Loop(); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
}

void Workers::Limit(unsigned limit) {
  std::lock_guard<std::mutex> lock(mutex_);
  limit_ = limit;
  Start();
  ready_.notify_all();
}

void Workers::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  urgent_.clear();
  queue_.clear();
  ready_.notify_all();
}

void Workers::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return closed_ || (busy_ < limit_ && !(urgent_.empty() && queue_.empty())); });
    if (closed_) return;
    std::deque<std::function<void()>>& from = urgent_.empty() ? queue_ : urgent_;
    std::function<void()> work = std::move(from.front());
    from.pop_front();
    busy_ += 1;
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
    busy_ -= 1;
    // When the limit was lowered, the thread that was notified may not begin: another one is told.
    if (busy_ < limit_ && !(urgent_.empty() && queue_.empty())) ready_.notify_one();
  }
}
