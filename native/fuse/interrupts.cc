#include "interrupts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr auto kLookAgain = std::chrono::milliseconds(50);

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }
constexpr uint64_t kEnding = Bit(SIGHUP) | Bit(SIGINT) | Bit(SIGQUIT) | Bit(SIGKILL) | Bit(SIGTERM);

uint64_t Mask(const char* status, const char* field) {
  const char* at = std::strstr(status, field);
  return at == nullptr ? 0 : std::strtoull(at + std::strlen(field), nullptr, 16);
}

/** True when a signal that ends programs is pending for thread `pid`, and when that can't be found out. */
bool WantsOut(uint32_t pid) {
  int fd = open(("/proc/" + std::to_string(pid) + "/status").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return true;
  char status[8192];
  ssize_t got = read(fd, status, sizeof status - 1);
  close(fd);
  if (got <= 0) return true;
  status[got] = 0;
  uint64_t pending = Mask(status, "\nSigPnd:") | Mask(status, "\nShdPnd:");
  return (pending & ~Mask(status, "\nSigBlk:") & kEnding) != 0;
}

}  // namespace

void Interrupts::Add(uint64_t unique) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    added_.push_back(unique);
  }
  ready_.notify_one();
}

void Interrupts::Close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  ready_.notify_all();
}

bool Interrupts::IsDone(uint64_t unique, bool seen_before) {
  const std::optional<Requests::Asker> asker = requests_.FindAsker(unique);
  if (!asker) return seen_before;
  if (!WantsOut(asker->pid)) return false;
  // Another thread may have answered meanwhile. The next look removes it, in either case.
  if (requests_.Take(asker->id)) channel_.Send(unique, EINTR, nullptr, 0);
  return false;
}

void Interrupts::Run() {
  std::vector<uint64_t> watched;
  size_t seen = 0;  // the first so many were looked at before
  std::unique_lock<std::mutex> lock(mutex_);
  auto ready = [this] { return closed_ || !added_.empty(); };
  for (;;) {
    if (watched.empty()) ready_.wait(lock, ready);
    else ready_.wait_for(lock, kLookAgain, ready);
    if (closed_) return;
    watched.insert(watched.end(), added_.begin(), added_.end());
    added_.clear();
    lock.unlock();
    size_t at = 0;
    auto done = [&](uint64_t unique) { return IsDone(unique, at++ < seen); };
    watched.erase(std::remove_if(watched.begin(), watched.end(), done), watched.end());
    seen = watched.size();
    lock.lock();
  }
}
