// A command's processes: how they are started, in the launcher's sandbox or beside it.
#pragma once
#include <signal.h>
#include <sys/types.h>

#include <string>

#include "files.h"
#include "frames.h"
#include "terminal.h"
#include "users.h"

namespace launcher {

/** Signals that the launcher ignores, and commands must not. */
constexpr int kIgnored[] = {SIGPIPE, SIGINT, SIGHUP};

/** What is the same for all commands of a worker. */
struct Manner {
  bool has_sandbox = false;
  bool scratch = false;
  Texts env;
  User user{};
  /** Empty: where the launcher was started, or / in a sandbox. */
  std::string folder;
  uint32_t processes_max = 0;
  /** A pipe whose write end only the launcher has: when it closes, readers know that the launcher has died. */
  int lifeline[2] = {-1, -1};
};

/** What a command's streams are: a file and one pipe, pipes both ways, or a terminal. */
enum class Streams : uint8_t { kLog, kPipes, kTerminal };

struct RunPlan {
  Texts argv;
  Texts env;
  bool has_stdin = false;
  std::string stdin_bytes;
  Pairs binds;
  uint64_t timeout_ms = 0;
  uint64_t output_bytes_max = 0;
  bool batching = false;
  Streams streams = Streams::kLog;
  /** Of a terminal. */
  WindowSize window;
};

/** What a command's processes tell the launcher, in one small write each. */
struct Report {
  enum What : int { kStatus, kNotStarted, kBroken, kTooManyProcesses, kAnswer } what;
  /** The wait status, an errno, or 1 for an order that was carried out. */
  int value;
  char why[200];
};

struct Started {
  /** The command, or, in a sandbox, the first process of its namespace. */
  pid_t pid;
  /** What it prints; of a terminal, our end of it. */
  Fd log;
  /** Of pipes: what it prints to standard error. */
  Fd errors;
  /** Where its input is written to, of pipes and terminals. */
  Fd input;
  Fd reports;
  /** In a sandbox: where its first process is given an `Order`, each of which it answers. */
  Fd orders;
};

/** `env` is complete. Throws Failure when the machine can't start anything. */
Started StartCommand(const Manner& manner, const RunPlan& plan, const Texts& env);

}  // namespace launcher
