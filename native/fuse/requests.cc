#include "requests.h"

#include <iterator>
#include <utility>

namespace {

/** Unanswered requests at once. The kernel's own queue holds what is beyond. */
constexpr size_t kUnansweredMax = 1024;

}  // namespace

void Requests::Add(Request request, const fuse::InHeader& header) {
  counters_.decided += 1;
  bool first;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    room_.wait(lock, [this] { return unanswered_.size() < kUnansweredMax || closed_; });
    if (closed_) return;
    request.id = next_id_++;
    unanswered_.emplace(request.id, Waiting{header.unique, header.pid});
    queue_.push_back(std::move(request));
    if (queue_.size() > counters_.ring_max) counters_.ring_max = queue_.size();
    first = queue_.size() == 1;
  }
  if (first) wake_();
}

void Requests::AddAgain(Request request) {
  bool first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(std::move(request));
    first = queue_.size() == 1;
  }
  if (first) wake_();
}

std::vector<Request> Requests::Drain() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Request> batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(queue_.end()));
  queue_.clear();
  return batch;
}

std::optional<uint64_t> Requests::Find(uint64_t id) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = unanswered_.find(id);
  if (found == unanswered_.end()) return std::nullopt;
  return found->second.unique;
}

std::optional<uint64_t> Requests::Take(uint64_t id) {
  uint64_t unique;
  bool was_full;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = unanswered_.find(id);
    if (found == unanswered_.end()) return std::nullopt;
    unique = found->second.unique;
    was_full = unanswered_.size() >= kUnansweredMax;
    unanswered_.erase(found);
  }
  if (was_full) room_.notify_one();
  return unique;
}

std::optional<Requests::Asker> Requests::FindAsker(uint64_t unique) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [id, waiting] : unanswered_) {
    if (waiting.unique == unique) return Asker{id, waiting.pid};
  }
  return std::nullopt;
}

void Requests::Close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  room_.notify_all();
}
