// The conversation with the engine: one thread, one command at a time. Only this thread touches what
// is declared here, so there are no locks. A session is in one of these states:
//
//            setup          run
//   connected ────▶ idle ─────────▶ running ◀─────────────────┐
//                    ▲               │  │ `next datum`:       │ datum 1: the client is answered,
//                    │               │  │ all is stopped,     │ all goes on
//                    │               │  │ `next` is sent      │
//                    │               │  └──────▶ standing still ──┐
//                    │               │                            │ datum 0 (the command has done
//                    │               │ kill, timeout, a limit     │ its work), kill, timeout
//                    │               ▼                            │
//                    │             ending ◀───────────────────────┘
//                    │               │ SIGTERM, and all goes on; SIGKILL after 2 s. Limits: SIGKILL at once
//                    │               │
//                    └───────────────┘ the command's main process has ended, from whatever state:
//                                      the rest is killed, `exit` is sent (endings.cc)
//
// When the engine says `end` or closes the stream, or anything throws Failure, all is killed and the launcher ends.
// session.cc waits for events and passes them on; setup.cc, running.cc and endings.cc are the states.
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
#include "ports.h"
#include "stream.h"
#include "traces.h"

namespace launcher {

/** The command that runs, from `run` to `exit`. `frozen`: it stands still. `reason` or `finished`: it is ending. */
struct Run {
  RunPlan plan;
  Started started;
  uint64_t began_us = 0;
  uint64_t ooms_before = 0;
  /** Why the launcher ends it; the first reason stays. */
  std::optional<Kind> reason;
  /** There is no next datum: however the command ends now, it has done its work. */
  bool finished = false;
  bool main_ended = false;
  int status = 0;
  uint64_t kill_at_us = 0, measure_at_us = 0, count_at_us = 0;
  /** Input that the command has not taken yet. */
  std::string waiting;
  /** No more input comes. */
  bool input_ends = false;
  /** The `next` or `pachctl` that has connected. `asked`: its question is read, and not answered yet. */
  Fd client;
  bool asked = false;
  /** All processes of the command are stopped. */
  bool frozen = false;
  uint64_t cpu_us = 0, rss_bytes = 0;
};

class Session {
 public:
  /** Takes over a stream to the engine. */
  Session(Fd engine, bool namespaces);

  /** Does not return: throws Failure when the engine says `end` or closes the stream, or the session can't go on. */
  [[noreturn]] void Serve();
  /** Kills what runs, and tells the engine why the launcher ends. */
  void Fail(const Failure& failure);

 private:
  void Setup(Reader reader);
  void Begin(Reader reader);
  void Take(uint8_t type, Reader reader);
  int NextCheckMs() const;
  void Wait();
  void OnTime();
  void ReadLog(bool drain);
  void ReadStream(Fd* from, Type type, bool drain);
  void TakeInput(std::string bytes);
  void WriteInput();
  void ReadClient();
  void AnswerClient(bool there, const Texts& env);
  void TakeSignals();
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

  Stream stream_;
  Fd signals_, lifeline_read_, lifeline_write_;
  bool namespaces_, is_set_up_ = false, is_first_, is_terminating_ = false;
  Manner manner_;
  /** The folder that is /pfs/out. */
  Fd output_;
  /** Files in which cgroups count kills for lack of memory. */
  Texts memory_files_;
  Traces traces_;
  /** User and group that all in /pfs/out is given to; 0, 0: owners stay. */
  std::pair<uint32_t, uint32_t> owner_{0, 0};
  NextSocket next_;
  Freezer freezer_;
  /** What the command's processes told first: why it could not start, or how it ended. */
  std::optional<Report> report_;
  std::optional<Run> run_;
  /** Connections to the command's ports; none while no command runs. */
  Ports ports_{&stream_};
};

}  // namespace launcher
