// Requests that need a decision of JavaScript, from the thread that read them to their one answer:
//
//   Add ──▶ queued ──Drain──▶ in JavaScript's hands ──Take──▶ answered
//             ▲                        │
//             └────────AddAgain────────┘ bytes that were said to be on the disk are not
//
// Take gives each request to one caller only, in whatever state it is: JavaScript's answer and an
// interrupt may come at the same time from two threads, and whoever comes second gets nothing.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "abi.h"
#include "counters.h"

struct Request {
  uint32_t opcode;
  uint32_t size;
  /** Ours. The kernel's number (`unique`) is too large for a number of JavaScript. */
  uint64_t id;
  uint64_t ino, offset;
  std::string name;
  /** How often bytes were said to be on the disk, and were not. */
  uint32_t tries = 0;
};

/** Called from any thread, with no lock held: JavaScript should come and look. */
using Wake = std::function<void()>;

class Requests {
 public:
  Requests(Counters& counters, const Wake& wake) : counters_(counters), wake_(wake) {}

  /**
   * Gives the request an id and queues it. Blocks while too many are not answered: the kernel then
   * keeps the rest. After Close it is dropped.
   */
  void Add(Request request, const fuse::InHeader& header);
  /** Queues a request once more that was in JavaScript's hands. */
  void AddAgain(Request request);
  /** All that are queued; for JavaScript, when it was woken. */
  std::vector<Request> Drain();

  /** The kernel's number of a request that is not answered yet. */
  std::optional<uint64_t> Find(uint64_t id);
  /** The same, and counts it as answered: the caller must answer it. */
  std::optional<uint64_t> Take(uint64_t id);

  struct Asker {
    uint64_t id;
    /** The thread that waits for the answer. */
    uint32_t pid;
  };
  /** Looks a request up by the kernel's number. */
  std::optional<Asker> FindAsker(uint64_t unique);

  /** The connection has ended: nobody is kept waiting in Add. */
  void Close();

 private:
  struct Waiting {
    uint64_t unique;
    uint32_t pid;
  };

  Counters& counters_;
  const Wake& wake_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<Request> queue_;
  /** By id: all that are not answered, queued or not. */
  std::unordered_map<uint64_t, Waiting> unanswered_;
  uint64_t next_id_ = 1;
  bool closed_ = false;
};
