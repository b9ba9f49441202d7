#include "freeze.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "files.h"

namespace launcher {

namespace {

constexpr uint64_t kFreezeUs = 5'000'000, kFirstRoundUs = 20'000;
constexpr useconds_t kFirstLookUs = 50, kLookUsMax = 5'000;

/** Calls with each name of a folder that is a number. */
void EachNumber(const std::string& path, const std::function<void(pid_t)>& each) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    char* end = nullptr;
    const long number = std::strtol(entry->d_name, &end, 10);
    if (end != entry->d_name && *end == '\0') each(static_cast<pid_t>(number));
  }
  closedir(folder);
}

/** A line of /proc/…/status without its name. */
std::string Field(const std::string& status, const std::string& name) {
  const size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "";
  const size_t start = at + name.size() + 3;
  return status.substr(start, status.find('\n', start) - start);
}

/** True when a SIGSTOP is pending for a thread or its process. The masks in /proc/…/status are hexadecimal. */
bool StopPending(const std::string& status) {
  const auto mask = [&](const char* name) { return std::strtoull(Field(status, name).c_str(), nullptr, 16); };
  return ((mask("SigPnd") | mask("ShdPnd")) >> (SIGSTOP - 1) & 1) != 0;
}

}  // namespace

Census Census::Take() {
  Census census;
  const std::string load = ReadFile("/proc/loadavg");
  census.youngest = load.substr(load.rfind(' ') + 1);
  const pid_t self = getpid();
  EachNumber("/proc", [&](pid_t process) {
    if (process == self) return;
    const std::string tasks = "/proc/" + std::to_string(process) + "/task";
    EachNumber(tasks, [&](pid_t thread) {
      const std::string status = ReadFile((tasks + "/" + std::to_string(thread) + "/status").c_str());
      const std::string state = Field(status, "State");
      // It has ended.
      if (state.empty() || state[0] == 'Z' || state[0] == 'X') return;
      census.threads[thread] = {process, state[0], StopPending(status), Field(status, "voluntary_ctxt_switches") + "+" + Field(status, "nonvoluntary_ctxt_switches")};
    });
  });
  return census;
}

bool Census::AllStopped() const {
  return std::all_of(threads.begin(), threads.end(), [](const auto& each) { return each.second.state == 'T' || each.second.state == 't'; });
}

bool Census::Continues(const Census& before) const {
  if (!AllStopped() || !before.AllStopped() || youngest != before.youngest) return false;
  return std::equal(threads.begin(), threads.end(), before.threads.begin(), before.threads.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && a.second.switches == b.second.switches; });
}

bool Freezer::Obey(Order order) {
  if (getpid() != 1) return false;
  switch (order) {
    case Order::kFreeze:
      return Freeze();
    case Order::kHold:
      return Census::Take().Continues(frozen_);
    case Order::kThaw:
      Thaw();
      return true;
  }
  return false;
}

bool Freezer::Freeze() {
  stopped_before_.clear();
  for (const auto& [id, thread] : Census::Take().threads) {
    if (id == thread.process && (thread.state == 'T' || thread.stop_pending)) stopped_before_.insert(id);
  }
  const uint64_t deadline = NowUs() + kFreezeUs;
  for (uint64_t round = kFirstRoundUs; NowUs() < deadline; round += round / 2) {
    const uint64_t until = NowUs() + round;
    for (useconds_t pause = kFirstLookUs; NowUs() < until; pause = std::min(2 * pause, kLookUsMax)) {
      kill(-1, SIGSTOP);
      const Census first = Census::Take();
      // A look takes time. Two that are the same show that at one moment all were stopped.
      if (first.AllStopped()) {
        frozen_ = Census::Take();
        if (frozen_.Continues(first)) return true;
      }
      usleep(pause);
    }
    // The parent of a vfork can't stop while its child is stopped: both get a moment to go on.
    Thaw();
    usleep(static_cast<useconds_t>(round / 10));
  }
  return false;
}

void Freezer::Thaw() {
  std::set<pid_t, std::greater<>> processes;
  for (const auto& [id, thread] : Census::Take().threads) processes.insert(thread.process);
  // Children first: a shell with job control must not find them stopped.
  for (const pid_t process : processes) {
    if (stopped_before_.count(process) == 0) kill(process, SIGCONT);
  }
}

}  // namespace launcher
