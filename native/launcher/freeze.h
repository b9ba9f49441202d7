// Stopping all processes of a PID namespace, and knowing that none of them ran since.
#pragma once
#include <sys/types.h>

#include <map>
#include <set>
#include <string>

namespace launcher {

/** What is asked of whoever is the first process of a namespace. */
enum class Order : char { kFreeze = 'f', kHold = 'h', kThaw = 't' };

/** The processes of a namespace at a time, but for its first and for those that have ended. */
struct Census {
  struct Thread {
    pid_t process;
    char state;
    /** True when a SIGSTOP was sent that it has not obeyed yet: its state doesn't tell. */
    bool stop_pending;
    /** How often it was taken off a processor: more when it ran since. */
    std::string switches;
  };

  static Census Take();

  bool AllStopped() const;
  /** True when both were stopped, and nothing was born or ran in between. */
  bool Continues(const Census& before) const;

  /** The youngest process id that was given: another one when something was born. */
  std::string youngest;
  std::map<pid_t, Thread> threads;
};

/** Works in the first process of a namespace (PID 1), and nowhere else. */
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
