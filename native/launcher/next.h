// Batching: the command asks for its next datum through a socket, with this program under another name.
#pragma once
#include <string>

#include "files.h"
#include "frames.h"

namespace launcher {

/** A socket that only a worker's world sees, or its container; `name` is what PACH_NEXT says. */
struct NextSocket {
  Fd listener;
  std::string name;
};

/** Throws Failure. */
NextSocket ListenForNext(bool has_world);

/** Answers a client that waits; false when it is gone. `log` is the pipe of what the command prints. */
bool AnswerNext(int client, const Texts& env, int log);

/** True for `next` and `pachctl`. */
bool IsNextName(const std::string& name);

/** The client: returns its exit code. */
int AskForNext(int argc, char** argv);

}  // namespace launcher
