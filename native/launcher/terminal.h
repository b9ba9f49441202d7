// A terminal for a command: made where the command runs, so that it finds its own end in /dev/pts.
#pragma once
#include <cstdint>

#include "files.h"
#include "users.h"

namespace launcher {

struct WindowSize {
  uint32_t columns = 0, rows = 0;
};

struct Terminal {
  /** What is read from it the command has printed; what is written to it was typed. Does not wait. */
  Fd ours;
  /** What the command has as its terminal. */
  Fd commands;
};

/** Throws Failure. */
Terminal OpenTerminal(const WindowSize& window, const User& user);

/** Tells the processes in the foreground of a terminal, too. */
void Resize(const Fd& ours, const WindowSize& window);

/** Two sockets for one descriptor, to be passed from one process to another. False, with errno set. */
bool MakeHandover(Fd* to, Fd* from);

/** Passes a descriptor on. Throws Failure. */
void HandOver(int socket, const Fd& fd);

/** Waits for a descriptor; none when all who could pass it on have ended. */
Fd TakeOver(int socket);

}  // namespace launcher
