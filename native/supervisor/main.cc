// supervisor PROGRAM ARGUMENTS...: keeps the server of a mount running.
//
// It holds the kernel's descriptors (4: the device, 5: the inode table), so that the mount outlives a
// server that is killed: the next server gets the same descriptors and the same plan, and the kernel
// sends it what was not answered.
//
//   first server ──serves──▶ running ──ended by itself, mount is gone──▶ ends
//        │                   │   ▲
//        │ never served      │   │ next server       5 starts in a minute
//        ▼                   ▼   │                  ┌─────────────────────▶ gives up: readers get errors
//       ends               died, or killed because it was silent
//
// The plan comes on standard input once the command has checked everything; the first server starts
// meanwhile. When the input ends without a plan, all ends. Descriptor 3, the channel to the command that
// mounts, is for the first server only. A server shows that it is alive by writing to descriptor 6. This
// program is C++ and does next to nothing, because it must not fail itself.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <string>

namespace {

constexpr int kChannel = 3, kDevice = 4, kBeats = 6;
constexpr int kSilenceMs = 60'000;
/** So many starts in so short a time mean that the next server would die too. */
constexpr size_t kStartsMax = 5;
constexpr time_t kStartsSeconds = 60;

volatile sig_atomic_t server = 0;
/** A server has come to serve. Where the first one has not, it has told why, and the next one would fail too. */
bool has_served = false;

void Forward(int signal) {
  if (server > 0) kill(server, signal);
}

time_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

[[noreturn]] void Die(const char* what) {
  std::fprintf(stderr, "supervisor: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

std::string ReadAll(int fd) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Die("standard input");
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

void WriteAll(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return;  // the server has ended, which whoever watches it finds
    done += static_cast<size_t>(wrote);
  }
}

/** A memory file with these bytes. */
int PlanFile(const std::string& plan) {
  FILE* file = std::tmpfile();
  if (file == nullptr || std::fwrite(plan.data(), 1, plan.size(), file) != plan.size() || std::fflush(file) != 0) Die("plan");
  const int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 10);
  std::fclose(file);
  if (fd < 0) Die("plan");
  return fd;
}

bool IsMounted() {
  pollfd device{kDevice, POLLIN, 0};
  return poll(&device, 1, 0) >= 0 && (device.revents & POLLERR) == 0;
}

/** Starts a server with its plan on descriptor `plan`; returns the end of the pipe on which it shows that it is alive. */
int Start(char** arguments, int plan, bool first) {
  int beats[2];
  if (pipe2(beats, O_CLOEXEC) != 0) Die("pipe");
  const pid_t pid = fork();
  if (pid < 0) Die("fork");
  if (pid == 0) {
    dup2(plan, 0);
    if (beats[1] == kBeats) fcntl(kBeats, F_SETFD, 0);
    else dup2(beats[1], kBeats);
    if (!first) unsetenv("NODE_CHANNEL_FD");
    setenv("PACHMOUNT_BEATS", std::to_string(kBeats).c_str(), 1);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    execv(arguments[0], arguments);
    Die(arguments[0]);
  }
  server = pid;
  close(beats[1]);
  if (first) close(kChannel);
  return beats[0];
}

int WaitForEnd() {
  int status = 0;
  while (waitpid(server, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

/** Waits until the server has ended, and kills it when it is silent for too long. Returns its status. */
int Watch(int beats) {
  for (;;) {
    pollfd waiting{beats, POLLIN, 0};
    const int ready = poll(&waiting, 1, kSilenceMs);
    if (ready < 0 && errno == EINTR) continue;
    char buffer[256];
    if (ready > 0 && read(beats, buffer, sizeof buffer) > 0) {
      has_served = true;
      continue;
    }
    if (ready == 0) {
      std::fprintf(stderr, "supervisor: no answer from the server for %d s: killing it\n", kSilenceMs / 1000);
      kill(server, SIGKILL);
    }
    return WaitForEnd();
  }
}

/** Starts the first server, and gives it the plan when that has come; `file` is one of it for others. */
int StartFirst(char** arguments, int* file) {
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) Die("pipe");
  const int beats = Start(arguments, pipes[0], true);
  close(pipes[0]);
  const std::string plan = ReadAll(0);
  if (plan.empty()) {
    kill(server, SIGKILL);
    WaitForEnd();
    std::exit(0);
  }
  *file = PlanFile(plan);
  WriteAll(pipes[1], plan);
  close(pipes[1]);
  return beats;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "supervisor: no program given\n");
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = Forward;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  int plan = -1;
  std::deque<time_t> starts;
  for (;;) {
    starts.push_back(Now());
    if (plan >= 0) lseek(plan, 0, SEEK_SET);
    const int beats = plan < 0 ? StartFirst(argv + 1, &plan) : Start(argv + 1, plan, false);
    const int status = Watch(beats);
    close(beats);
    server = 0;
    const bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (ended || !has_served || !IsMounted()) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    while (!starts.empty() && starts.front() < Now() - kStartsSeconds) starts.pop_front();
    // Closing the last descriptor ends the connection: readers get an error instead of waiting for ever.
    if (starts.size() >= kStartsMax) {
      std::fprintf(stderr, "supervisor: the server ended %zu times within %ld s: giving up\n", starts.size(), static_cast<long>(kStartsSeconds));
      return 1;
    }
    std::fprintf(stderr, "supervisor: the server ended (status %d): starting it again\n", status);
  }
}
