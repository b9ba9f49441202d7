// Signals of processes that wait for an answer. The kernel tells of any signal, once a request, and
// what we answer reaches the program as it is: a harmless one (a child that ended, a timer, a
// profiler) must not become an error of read(2). So only those that ask a program to end count.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

#include "session.h"

namespace {

constexpr auto kLookAgain = std::chrono::milliseconds(50);

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }
constexpr uint64_t kEnding = Bit(SIGHUP) | Bit(SIGINT) | Bit(SIGQUIT) | Bit(SIGKILL) | Bit(SIGTERM);

uint64_t Mask(const char* status, const char* field) {
  const char* at = std::strstr(status, field);
  return at == nullptr ? 0 : std::strtoull(at + std::strlen(field), nullptr, 16);
}

/** True when a signal that ends programs waits for thread `pid`, or nobody can know. */
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

bool Session::LetGo(uint64_t unique, bool known_before) {
  uint64_t id = 0;
  uint32_t pid = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [key, asker] : pending_) {
      if (asker.unique != unique) continue;
      id = key;
      pid = asker.pid;
    }
  }
  // Not there: it may be on its way through another reader, so it gets a second look.
  if (id == 0) return known_before;
  if (WantsOut(pid)) ReplyError(id, EINTR);
  return false;
}

void Session::InterruptLoop() {
  std::vector<uint64_t> watched;
  size_t seen = 0;  // the first so many were looked at before
  std::unique_lock<std::mutex> lock(interrupt_mutex_);
  auto ready = [this] { return interrupts_closed_ || !interrupted_.empty(); };
  for (;;) {
    // One signal may follow another while the answer takes its time, and of that the kernel is silent.
    if (watched.empty()) interrupt_ready_.wait(lock, ready);
    else interrupt_ready_.wait_for(lock, kLookAgain, ready);
    if (interrupts_closed_) return;
    watched.insert(watched.end(), interrupted_.begin(), interrupted_.end());
    interrupted_.clear();
    lock.unlock();
    size_t at = 0;
    auto done = [&](uint64_t unique) { return LetGo(unique, at++ < seen); };
    watched.erase(std::remove_if(watched.begin(), watched.end(), done), watched.end());
    seen = watched.size();
    lock.lock();
  }
}
