// What passes between the engine and the streams of the command that runs.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "session.h"

namespace launcher {

namespace {

/** Of what the engine has not taken yet, while what is left in a pipe is read. */
constexpr size_t kDrainedBytesMax = 4u << 20;

}  // namespace

void Session::ReadLog(bool drain) {
  if (run_->started.log) ReadStream(&run_->started.log, kLog, drain);
  if (run_->started.errors) ReadStream(&run_->started.errors, kErrors, drain);
}

void Session::ReadStream(Fd* from, Type type, bool drain) {
  char buffer[kLogBytesMax];
  do {
    const ssize_t got = read(from->get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    // 0, or EIO of a terminal: the command and its descendants have closed it. Another error: there is nothing to read now.
    if (got == 0 || (got < 0 && errno == EIO)) from->Reset();
    if (got <= 0) return;
    stream_.Queue(Writer(type).Raw(buffer, static_cast<size_t>(got)).Done());
  } while (drain && stream_.queued() < kDrainedBytesMax);
}

/** Has input written to the command. What nobody takes any more counts as taken. */
void Session::TakeInput(std::string bytes) {
  if (!run_ || run_->plan.streams == Streams::kLog) return;
  run_->waiting += bytes;
  WriteInput();
}

void Session::WriteInput() {
  if (!run_ || run_->plan.streams == Streams::kLog) return;
  Run& run = *run_;
  size_t taken = 0;
  while (run.started.input && taken < run.waiting.size()) {
    const ssize_t wrote = write(run.started.input.get(), run.waiting.data() + taken, run.waiting.size() - taken);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) break;
    if (wrote < 0) run.started.input.Reset();
    else taken += static_cast<size_t>(wrote);
  }
  if (!run.started.input) taken = run.waiting.size();
  run.waiting.erase(0, taken);
  if (taken > 0) stream_.Queue(Writer(kTaken).U32(static_cast<uint32_t>(taken)).Done());
  // A terminal's end is not the end of what it prints.
  if (run.input_ends && run.waiting.empty() && run.plan.streams == Streams::kPipes) run.started.input.Reset();
}

}  // namespace launcher
