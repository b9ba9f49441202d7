// Threads that answer reads: from what JavaScript hands over (the threads of JavaScript must not wait
// for copying and the disk), or from an attached file that has just been filled.
//
// Memory that JavaScript hands over stays untouched until the tag of its answer comes back from
// DrainWritten, or Close has returned.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "channel.h"
#include "kept_answers.h"
#include "local_files.h"
#include "requests.h"

/** A part of the answer to a read: memory, a range of a file (fd >= 0, which the answer closes), or zeros (both absent). */
struct Piece {
  const uint8_t* bytes;
  int fd;
  uint64_t offset, length;
};

class DataWriters {
 public:
  DataWriters(Requests& requests, LocalFiles& files, KeptAnswers& kept, Channel& channel, Counters& counters, const Wake& wake)
      : requests_(requests), files_(files), kept_(kept), channel_(channel), counters_(counters), wake_(wake) {}

  void Add(uint64_t id, std::vector<Piece> pieces, uint64_t tag);
  /** Answers a read from its attached file, or from what is stored here; where bytes are missing, the request goes to JavaScript again. */
  void AddLocal(Request request);
  /** Tags of answers that are written, or were not needed any more. */
  std::vector<uint64_t> DrainWritten();

  /** One of the threads, until Close. */
  void Run();
  /** Waits for what is being written now; the rest is dropped. */
  void Close();

 private:
  struct Answer {
    uint64_t id, tag;
    std::vector<Piece> pieces;
    std::optional<Request> local;
  };

  void Queue(Answer answer);
  void Write(const Answer& answer, std::vector<uint8_t>* scratch);
  void WriteLocal(Request request);

  Requests& requests_;
  LocalFiles& files_;
  KeptAnswers& kept_;
  Channel& channel_;
  Counters& counters_;
  const Wake& wake_;

  std::mutex mutex_;
  std::condition_variable ready_, idle_;
  std::deque<Answer> queue_;
  std::vector<uint64_t> written_;
  /** Threads that are writing. */
  unsigned writing_ = 0;
  bool closed_ = false;
};
