// Signals of processes that wait for an answer. The kernel tells of any signal, once a request, and
// what we answer reaches the program as it is: a harmless one (a child that ended, a timer, a
// profiler) must not become an error of read(2). So a request ends early only for a signal that ends
// programs:
//
//                        each 50 ms
//                       ┌──────────┐
//                       ▼          │            such a signal is pending
//   the kernel says: watched ──────┴──────────────────────────────────────▶ answered with EINTR
//                       │
//                       └─ at the second look it is not there (any more) ──▶ forgotten
//
// At the first look it may be on its way through another thread that reads requests. It is watched
// because more signals may follow while the answer takes its time, of which the kernel says nothing.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "channel.h"
#include "requests.h"

class Interrupts {
 public:
  Interrupts(Requests& requests, Channel& channel) : requests_(requests), channel_(channel) {}

  /** The kernel says that a signal came for the request with its number `unique`. */
  void Add(uint64_t unique);
  /** The thread that watches, until Close. */
  void Run();
  void Close();

 private:
  bool IsDone(uint64_t unique, bool seen_before);

  Requests& requests_;
  Channel& channel_;

  std::mutex mutex_;
  std::condition_variable ready_;
  /** Not taken over by Run yet. */
  std::vector<uint64_t> added_;
  bool closed_ = false;
};
