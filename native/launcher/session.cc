#include "session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace launcher {

namespace {

/** While the engine has not taken more than this, the command's output is not read, and the command has to wait. */
constexpr size_t kQueueBytesMax = 256 << 10;

}  // namespace

Session::Session(Fd engine, bool namespaces) : stream_(std::move(engine)), namespaces_(namespaces), is_first_(getpid() == 1) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  // Blocked, so that it reaches the first process of a container, which the kernel spares signals without a handler.
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  signals_.Reset(signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK));
  for (const int ignored : kIgnored) signal(ignored, SIG_IGN);
  int pipes[2] = {-1, -1};
  if (pipe2(pipes, O_CLOEXEC) != 0 || !signals_) throw Failure{errno, "no descriptors"};
  lifeline_read_.Reset(pipes[0]);
  lifeline_write_.Reset(pipes[1]);
  // Orphans of a command become children of this process, which kills them.
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void Session::Serve() {
  for (;;) {
    Wait();
    if (run_ && run_->main_ended) Finish();
    else if (run_) OnTime();
    stream_.Flush();
  }
}

void Session::Take(uint8_t type, Reader reader) {
  if (type == kEnd) {
    reader.End();
    throw Failure{0, "", kExitEnd};
  }
  if (type == kSetup && !is_set_up_) return Setup(reader);
  if (!is_set_up_) Malformed();
  if (type == kRun && !run_) return Begin(reader);
  if (type == kKill) {
    reader.End();
    if (run_) End(Kind::kKilled, false);
  } else if (type == kDatum) {
    const bool there = reader.Flag();
    const Texts env = reader.List();
    reader.End();
    if (run_ && run_->asked) AnswerClient(there, env);
  } else if (type == kHold) {
    reader.End();
    if (run_) stream_.Queue(Writer(kHeld).U8(run_->frozen && Give(Order::kHold).value_or(false)).Done());
  } else if (type == kInput) {
    TakeInput(reader.Rest());
  } else if (type == kInputEnd) {
    reader.End();
    if (run_) run_->input_ends = true;
    WriteInput();
  } else if (type == kResize) {
    const WindowSize window{reader.U32(), reader.U32()};
    reader.End();
    if (run_ && run_->plan.streams == Streams::kTerminal) Resize(run_->started.log, window);
  } else if (type >= kConnect && type <= kPortTaken) {
    ports_.Take(type, reader, run_.has_value());
  } else {
    Malformed();
  }
}

void Session::Wait() {
  // The descriptors that are of interest in this state; poll(2) passes over -1.
  const bool reads_log = run_ && stream_.queued() < kQueueBytesMax;
  const bool listens = run_ && run_->plan.batching && !run_->client;
  const bool hears = run_ && run_->client && !run_->asked;
  std::vector<pollfd> waiting = {
      {stream_.fd(), static_cast<short>(POLLIN | (stream_.queued() == 0 ? 0 : POLLOUT)), 0},
      {signals_.get(), POLLIN, 0},
      {reads_log ? run_->started.log.get() : -1, POLLIN, 0},
      {listens ? next_.listener.get() : -1, POLLIN, 0},
      {hears ? run_->client.get() : -1, POLLIN, 0},
      {reads_log ? run_->started.errors.get() : -1, POLLIN, 0},
      {run_ && !run_->waiting.empty() ? run_->started.input.get() : -1, POLLOUT, 0},
  };
  constexpr size_t kOwn = 7;
  ports_.Watch(&waiting, reads_log);
  if (poll(waiting.data(), waiting.size(), NextCheckMs()) < 0 && errno != EINTR) throw Failure{errno, "poll"};
  ports_.Pass(waiting.data() + kOwn, waiting.size() - kOwn);
  if (waiting[2].revents != 0 || waiting[5].revents != 0) ReadLog(false);
  if (waiting[6].revents != 0) WriteInput();
  if (waiting[3].revents != 0) run_->client.Reset(accept4(next_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (waiting[4].revents != 0) ReadClient();
  if (waiting[1].revents != 0) TakeSignals();
  if (waiting[0].revents & (POLLIN | POLLHUP | POLLERR)) {
    stream_.Read([this](uint8_t type, Reader payload) { Take(type, payload); });
  }
}

int Session::NextCheckMs() const {
  if (!run_) return -1;
  uint64_t at = std::min(run_->measure_at_us, run_->kill_at_us > 0 ? run_->kill_at_us : UINT64_MAX);
  if (is_first_) at = std::min(at, run_->count_at_us);
  if (run_->plan.timeout_ms > 0) at = std::min(at, run_->began_us + run_->plan.timeout_ms * 1000);
  const uint64_t now = NowUs();
  return at <= now ? 0 : static_cast<int>(std::min<uint64_t>((at - now) / 1000 + 1, 60'000));
}

void Session::Fail(const Failure& failure) {
  if (run_) {
    kill(run_->started.pid, SIGKILL);
    if (manner_.has_sandbox) waitpid(run_->started.pid, nullptr, 0);
    KillRest();
  }
  if (failure.why.empty()) return;
  stream_.SendLast(Writer(kFailure).U32(static_cast<uint32_t>(failure.error)).Text(failure.why).Done());
}

}  // namespace launcher
