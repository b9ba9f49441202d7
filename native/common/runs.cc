#include "runs.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "file_io.h"

namespace {

/** A run that was not read for so long may be dropped: its reader is so far behind that the disk is as fast. */
constexpr std::chrono::milliseconds kUnreadFor{1000};
/** The longest wait for a room: about what the disk takes to write all rooms. */
constexpr std::chrono::milliseconds kWaitMax{500};
constexpr std::chrono::milliseconds kPause{50};

constexpr size_t kHugePage = 2 << 20;
/** One block more than a run's bytes, because they may begin anywhere in their first block. */
constexpr size_t kRoomBytes = (Rooms::kRunBytes + kDirectAlignment + kHugePage - 1) / kHugePage * kHugePage;

void Free(uint8_t* bytes) { std::free(bytes); }

}  // namespace

Run::Run(uint64_t from, uint64_t to, bool goes_past, std::vector<Place> places, std::shared_ptr<uint8_t> room)
    : begin(from), end(to), past(goes_past), landed(from), places_(std::move(places)), room_(std::move(room)) {
  if (places_.empty()) places_.push_back({from, from % kDirectAlignment});
}

uint8_t* Run::At(uint64_t offset) const {
  const Place& place = *std::prev(After(offset));
  return room_.get() + place.in_room + (offset - place.offset);
}

uint64_t Run::TogetherUntil(uint64_t offset) const {
  const auto next = After(offset);
  return next == places_.end() ? end : next->offset;
}

std::vector<Run::Place>::const_iterator Run::After(uint64_t offset) const {
  return std::upper_bound(places_.begin(), places_.end(), offset,
                          [](uint64_t wanted, const Place& place) { return wanted < place.offset; });
}

void Runs::Add(std::shared_ptr<Run> run) {
  std::lock_guard<std::mutex> lock(mutex_);
  runs_.push_back(std::move(run));
  count_ = runs_.size();
}

void Runs::Remove(const Run* run) {
  std::shared_ptr<Run> last;  // its room goes back after the lock
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = std::find_if(runs_.begin(), runs_.end(), [&](const auto& each) { return each.get() == run; });
  if (found == runs_.end()) return;
  last = std::move(*found);
  runs_.erase(found);
  count_ = runs_.size();
}

std::shared_ptr<Run> Runs::Find(uint64_t offset) {
  if (count_ == 0) return nullptr;
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& run : runs_) {
    if (offset >= run->begin && offset < run->landed.load(std::memory_order_acquire)) return run;
  }
  return nullptr;
}

uint64_t Runs::NextFrom(uint64_t offset, uint64_t limit) {
  if (count_ == 0) return limit;
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& run : runs_) {
    if (run->landed.load(std::memory_order_acquire) > std::max(offset, run->begin)) limit = std::min(limit, std::max(offset, run->begin));
  }
  return limit;
}

void Runs::Sent(Run* run, uint64_t offset, uint64_t length) {
  run->sent_ += length;
  if (offset + length == run->end) run->end_sent_ = true;
  RemoveRead(run);
}

void Runs::Done(Run* run) {
  run->done = true;
  RemoveRead(run);
}

void Runs::RemoveRead(Run* run) {
  if (run->done && run->end_sent_ && run->sent_ >= run->end - run->begin) Remove(run);
}

std::shared_ptr<Run> Rooms::Begin(uint64_t begin, uint64_t end, bool past, std::vector<Run::Place> places,
                                  const std::shared_ptr<Runs>& runs, bool may_wait) {
  std::shared_ptr<uint8_t> room = Room(may_wait);
  if (!room) return nullptr;
  auto run = std::make_shared<Run>(begin, end, past, std::move(places), std::move(room));
  runs->Add(run);
  std::lock_guard<std::mutex> lock(mutex_);
  given_.remove_if([](const Given& given) { return given.run.expired(); });
  given_.push_back({run, runs, std::chrono::steady_clock::now()});
  return run;
}

std::shared_ptr<uint8_t> Rooms::Room(bool may_wait) {
  const auto until = std::chrono::steady_clock::now() + kWaitMax;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    if (std::shared_ptr<uint8_t> room = Take()) return room;
    lock.unlock();
    DropUnread();
    lock.lock();
    if (std::shared_ptr<uint8_t> room = Take()) return room;
    if (!may_wait || count_ == 0 || std::chrono::steady_clock::now() > until) return nullptr;
    freed_.wait_for(lock, kPause);
  }
}

/** The caller holds the lock. */
std::shared_ptr<uint8_t> Rooms::Take() {
  uint8_t* bytes;
  if (!free_.empty()) {
    bytes = free_.back().release();
    free_.pop_back();
  } else {
    if (made_ == count_) return nullptr;
    bytes = static_cast<uint8_t*>(std::aligned_alloc(kHugePage, kRoomBytes));
    if (bytes == nullptr) return nullptr;
#ifdef MADV_HUGEPAGE
    // Huge pages: copying to the kernel, and the disk, then look up fewer pages.
    madvise(bytes, kRoomBytes, MADV_HUGEPAGE);
#endif
    made_ += 1;
  }
  return {bytes, [self = shared_from_this()](uint8_t* back) {
            std::lock_guard<std::mutex> again(self->mutex_);
            self->free_.emplace_back(back, Free);
            self->freed_.notify_one();
          }};
}

void Rooms::DropUnread() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<Given> old;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const Given& given : given_) {
      if (now - given.at > kUnreadFor) old.push_back(given);
    }
  }
  for (const Given& given : old) {
    const std::shared_ptr<Run> run = given.run.lock();
    const std::shared_ptr<Runs> runs = given.runs.lock();
    if (run && runs && run->done) runs->Remove(run.get());
  }
}
