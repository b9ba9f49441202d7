// Bytes of large files between the store and their readers: runs of verified chunks that lie in
// memory until they are on the disk, if they are to be kept there, and were read. A reader that follows the fetching gets them from
// here: it neither waits for the disk nor reads back what was just written.
//
//   Begin ──▶ landing ──all bytes are there──▶ being written ──Done──▶ done ──read to its end──▶ dropped
//                                                                       └─room is needed, and nobody
//                                                                         reads it ──▶ dropped
//
// A run is shared by its file's Runs, the thread that fills it and readers: its memory is free again
// when the last of them lets it go.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

/** Consecutive bytes [begin, end) of a file, of which those before `landed` are there. */
class Run {
 public:
  /** The bytes from `offset` on, up to the next place, begin at `in_room` from the start of the memory. */
  struct Place {
    uint64_t offset;
    uint64_t in_room;
  };

  /** Without `places` all bytes lie together, at the same distance from a block's start as in the file. */
  Run(uint64_t begin, uint64_t end, bool past, std::vector<Place> places, std::shared_ptr<uint8_t> room);

  uint8_t* room() const { return room_.get(); }
  /** Where a byte lies, and up to which offset the bytes after it follow there. */
  uint8_t* At(uint64_t offset) const;
  uint64_t TogetherUntil(uint64_t offset) const;

  const uint64_t begin, end;
  /** It is written to the disk past the page cache. */
  const bool past;
  std::atomic<uint64_t> landed;
  /** Nothing more will land, and the bytes are on the disk, or need not be, or the disk did not take them. */
  std::atomic<bool> done{false};

 private:
  friend class Runs;
  std::vector<Place>::const_iterator After(uint64_t offset) const;

  std::vector<Place> places_;
  const std::shared_ptr<uint8_t> room_;
  std::atomic<uint64_t> sent_{0};
  std::atomic<bool> end_sent_{false};
};

/** The runs of one file. */
class Runs {
 public:
  void Add(std::shared_ptr<Run> run);
  void Remove(const Run* run);
  /** The run that has the byte at this offset; null when none has. */
  std::shared_ptr<Run> Find(uint64_t offset);
  /** The first offset from `offset` on of which a run has the byte; at most `limit`. */
  uint64_t NextFrom(uint64_t offset, uint64_t limit);
  /** Readers got so many bytes. Drops the run when it is done and was read to its end. */
  void Sent(Run* run, uint64_t offset, uint64_t length);
  /** Nothing more will land in it. */
  void Done(Run* run);

 private:
  void RemoveRead(Run* run);

  std::mutex mutex_;
  std::vector<std::shared_ptr<Run>> runs_;
  std::atomic<size_t> count_{0};
};

/**
 * Memory for the runs of all files: `count` rooms, used again and again, since fresh pages cost more
 * than what is done with them. Where none is free, a run that is on the disk and was not read for a
 * while is dropped.
 */
class Rooms : public std::enable_shared_from_this<Rooms> {
 public:
  /** The most bytes of a run. */
  static constexpr uint64_t kRunBytes = 12 << 20;
  /** What a run usually takes: a room takes memory only as far as it was written to. */
  static constexpr uint64_t kUsualBytes = 8 << 20;

  explicit Rooms(size_t count) : count_(count) {}

  /** Makes a run and adds it to `runs`. Null when there is no room; when it `may_wait`, it waits a while for one. */
  std::shared_ptr<Run> Begin(uint64_t begin, uint64_t end, bool past, std::vector<Run::Place> places,
                             const std::shared_ptr<Runs>& runs, bool may_wait);

 private:
  struct Given {
    std::weak_ptr<Run> run;
    std::weak_ptr<Runs> runs;
    std::chrono::steady_clock::time_point at;
  };
  std::shared_ptr<uint8_t> Room(bool may_wait);
  std::shared_ptr<uint8_t> Take();
  void DropUnread();

  const size_t count_;
  std::mutex mutex_;
  std::condition_variable freed_;
  size_t made_ = 0;
  std::vector<std::unique_ptr<uint8_t, void (*)(uint8_t*)>> free_;
  /** Oldest first. */
  std::list<Given> given_;
};
