// The conversation with the engine: one thread, one command at a time.
#pragma once
#include <sys/resource.h>

#include <cstdint>
#include <optional>
#include <string>

#include "command.h"
#include "files.h"
#include "freeze.h"
#include "frames.h"
#include "next.h"
#include "traces.h"

namespace launcher {

/** The command that runs. */
struct Run {
  RunPlan plan;
  Started started;
  uint64_t began_us = 0;
  uint64_t ooms_before = 0;
  /** Why the launcher ends it; kExit without `finished` when it does not. */
  std::optional<Kind> reason;
  /** There is no next datum: the command has done what it should. */
  bool finished = false;
  bool main_ended = false;
  int status = 0;
  uint64_t kill_at_us = 0, measure_at_us = 0, count_at_us = 0;
  /** Connected, has asked when `asked`. */
  Fd client;
  bool asked = false;
  /** Everything of the command is stopped, from its question to the answer. */
  bool frozen = false;
  uint64_t cpu_us = 0, rss_bytes = 0;
};

class Session {
 public:
  /** Takes over a stream to the engine. */
  Session(Fd engine, bool namespaces);

  /** Until the engine closes the stream; throws Failure for what can't be gone on with. */
  void Serve();
  /** Says why it ends. */
  void Fail(const Failure& failure);

 private:
  void Setup(Reader reader);
  void Begin(Reader reader);
  void Take(uint8_t type, Reader reader);
  void ReadEngine();
  void Flush();
  void Queue(std::string frame) { out_ += frame; }
  int PatienceMs() const;
  void Wait();
  void OnTime();
  void ReadLog(bool drain);
  void ReadClient();
  void Reap();
  std::optional<bool> Give(Order order);
  void Thaw();
  void ReadReports();
  void KeepReport(Report report);
  void End(Kind reason, bool at_once);
  void KillRest();
  void GiveOutput();
  void Finish();
  void SendExit(Kind kind, uint32_t value, const std::string& why);
  std::pair<Kind, uint32_t> Outcome(bool too_much) const;
  uint64_t OutOfMemoryKills() const;
  void Account(const rusage& usage);

  Fd engine_, signals_, lifeline_read_, lifeline_write_;
  bool namespaces_, is_set_up_ = false, is_first_;
  std::string in_, out_;
  Manner manner_;
  /** /pfs/out. */
  Fd output_;
  Texts memory_files_;
  Traces traces_;
  /** Whose all in /pfs/out becomes, user and group; 0, 0: it stays as it is. */
  std::pair<uint32_t, uint32_t> owner_{0, 0};
  NextSocket next_;
  Freezer freezer_;
  /** What the first process of the command could not start with, and how it ended. */
  std::optional<Report> report_;
  std::optional<Run> run_;
};

}  // namespace launcher
