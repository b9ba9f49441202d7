#include "exec.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "frames.h"
#include "session.h"

namespace launcher {

namespace {

/** As shells have it. */
constexpr int kExitNotFound = 127, kExitNotRun = 126;
constexpr int kLookMs = 100;
constexpr size_t kAnswerBytesMax = 4096;

/** SIGTERM is blocked, and PID 1 would ignore it anyway. */
bool IsToEnd() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1;
}

/** All that the sidecar says, up to its end. */
std::string Answer(const Fd& sidecar) {
  std::string said;
  for (;;) {
    if (IsToEnd()) throw Failure{0, "", kExitTerminated};
    pollfd waiting{sidecar.get(), POLLIN, 0};
    if (poll(&waiting, 1, kLookMs) <= 0) continue;
    char part[512];
    const ssize_t got = read(sidecar.get(), part, sizeof part);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0 || said.size() > kAnswerBytesMax) return said;
    said.append(part, static_cast<size_t>(got));
  }
}

}  // namespace

int ExecWhenShown(const Fd& sidecar, char** command) {
  const std::string said = Answer(sidecar);
  if (said != "ready\n") {
    std::fprintf(stderr, "launcher: %s", said.empty() ? "the sidecar has gone\n" : said.c_str());
    return kExitAlone;
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvp(command[0], command);
  std::fprintf(stderr, "launcher: %s: %s\n", command[0], std::strerror(errno));
  return errno == ENOENT ? kExitNotFound : kExitNotRun;
}

}  // namespace launcher
