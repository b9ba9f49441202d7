// Batching: the command asks for its next datum through a socket, with this program under another name
// (the client). One question at a time:
//
//   client            launcher                            engine
//     │ failed: 0|1       │                                  │
//     ├──────────────────▶│ stops the command (freeze.h)     │
//     │   (is stopped     │ next                             │
//     │    too)           ├─────────────────────────────────▶│ takes the output in,
//     │                   │                     datum 1, env │ empties /pfs/out
//     │ pipe, env         │◀─────────────────────────────────┤
//     │◀──────────────────┤ lets the command go on           │
//   prints the variables, │
//   ends with 0           │                  or: datum 0     │
//                         │◀─────────────────────────────────┤
//                         │ ends the command, and the client │
//                         │ with it: it gets no answer       │
//
// A client that is killed closes its connection; the launcher then listens for the next one.
#pragma once
#include <string>

#include "files.h"
#include "frames.h"

namespace launcher {

/** A socket that is visible only in the worker's sandbox or container; `name` is the value of PACH_NEXT. */
struct NextSocket {
  Fd listener;
  std::string name;
};

/** Throws Failure. */
NextSocket ListenForNext(bool has_sandbox);

/** Answers a client that waits; false when it has ended. `log` is the pipe that the command prints to. */
bool AnswerNext(int client, const Texts& env, int log);

/** True for `next` and `pachctl`. */
bool IsNextName(const std::string& name);

/** The client: returns its exit code. */
int AskForNext(int argc, char** argv);

}  // namespace launcher
