// Stopping all processes of a PID namespace, and knowing that none of them ran since.
//
// Processes go on while they are being stopped: they may start others, continue others, or wait for one
// that is stopped already (the parent of a vfork). So:
//
//           ┌── not all are stopped, or they differ: 50 µs to 5 ms later ──┐
//           ▼                                                              │
//   ──▶ SIGSTOP to all ──▶ first look ── all stopped ──▶ second look ──────┤
//           ▲                                                              │ both looks are the same
//           │ a tenth of that later                                        ▼
//           └── SIGCONT to all ◀── the round is over                    frozen ── kThaw ──▶ SIGCONT to
//                               (20 ms; each lasts half as long again)                     all but those
//                                │ 5 s after the first                                     that had been
//                                ▼                                                         stopped before
//                             given up; all go on
#pragma once
#include <sys/types.h>

#include <map>
#include <set>
#include <string>

namespace launcher {

/** What the launcher asks of the first process of a namespace. */
enum class Order : char { kFreeze = 'f', kHold = 'h', kThaw = 't' };

/** One look at the threads of a namespace, without its first process and without those that have ended. */
struct Census {
  struct Thread {
    pid_t process;
    char state;
    /** A SIGSTOP was sent that has not taken effect yet: `state` doesn't show it. */
    bool stop_pending;
    /** Counts of context switches: they grow whenever the thread runs. */
    std::string switches;
  };

  static Census Take();

  bool AllStopped() const;
  /** True when all were stopped at both looks, and no thread was started or ran in between. */
  bool Continues(const Census& before) const;

  /** The process id that was given last: it changes when a process or thread is started. */
  std::string youngest;
  std::map<pid_t, Thread> threads;
};

/** Works only in the first process of a PID namespace (PID 1). */
class Freezer {
 public:
  /**
   * kFreeze: stops all; false when some don't stop within a few seconds, and then all go on.
   * kHold: true when nothing ran since they were stopped. kThaw: lets them go on, but for those that
   * were stopped before; always true.
   */
  bool Obey(Order order);

 private:
  bool Freeze();
  void Thaw();

  Census frozen_;
  std::set<pid_t> stopped_before_;
};

}  // namespace launcher
