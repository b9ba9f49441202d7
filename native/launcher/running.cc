// The command that runs: how it begins, stands still while it waits for its next datum, is watched and
// told to end. endings.cc has what follows when it has ended.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "environment.h"
#include "session.h"
#include "sandbox.h"

namespace launcher {

namespace {

/** From SIGTERM to SIGKILL; between two measurements of /pfs/out; between two counts of processes. */
constexpr uint64_t kGraceUs = 2'000'000, kMeasureUs = 200'000, kCountUs = 100'000;

}  // namespace

void Session::Begin(Reader reader) {
  Run run;
  run.plan.argv = reader.List();
  if (run.plan.argv.empty()) Malformed();
  run.plan.env = reader.List();
  run.plan.has_stdin = reader.Flag();
  if (run.plan.has_stdin) run.plan.stdin_bytes = reader.Bytes();
  run.plan.binds = reader.ListOfPairs();
  run.plan.timeout_ms = reader.U64();
  run.plan.output_bytes_max = reader.U64();
  run.plan.batching = reader.Flag();
  // Engines that know of no streams end here.
  const uint8_t streams = reader.AtEnd() ? 0 : reader.U8();
  if (streams > static_cast<uint8_t>(Streams::kTerminal)) Malformed();
  run.plan.streams = static_cast<Streams>(streams);
  if (run.plan.streams == Streams::kTerminal) run.plan.window = {reader.U32(), reader.U32()};
  reader.End();
  if (run.plan.streams != Streams::kLog && (run.plan.has_stdin || run.plan.batching)) Malformed();
  if (!run.plan.binds.empty() && !manner_.has_sandbox) Malformed();
  // Only the first process of a PID namespace can stop all that the command started.
  if (run.plan.batching && !manner_.has_sandbox && !is_first_) Malformed();
  Texts env = manner_.env;
  SetAll(&env, run.plan.env);
  if (run.plan.batching) {
    Set(&env, "PACH_NEXT=" + next_.name);
    for (std::string& variable : env) {
      if (variable.compare(0, 5, "PATH=") == 0) variable.insert(5, "/pach-bin:");
    }
  }
  // Clients of earlier commands have ended with them: their connections are closed unread.
  while (Fd(accept4(next_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC))) {
  }
  report_.reset();
  run.ooms_before = OutOfMemoryKills();
  run.began_us = NowUs();
  run.measure_at_us = run.began_us + kMeasureUs;
  run.count_at_us = run.began_us + kCountUs;
  if (manner_.has_sandbox) RenewSandbox();
  run.started = StartCommand(manner_, run.plan, env);
  run.plan.stdin_bytes.clear();
  run_ = std::move(run);
}

void Session::ReadClient() {
  uint8_t failed = 0;
  if (recv(run_->client.get(), &failed, 1, MSG_DONTWAIT) != 1 || failed > 1) {
    run_->client.Reset();
    return;
  }
  run_->asked = true;
  const std::optional<bool> frozen = Give(Order::kFreeze);
  // The command has ended meanwhile: Reap sees it.
  if (!frozen) return;
  if (!*frozen) return End(Kind::kNotStopped, true);
  run_->frozen = true;
  // What was printed up to here belongs to the datum before.
  ReadLog(true);
  GiveOutput();
  stream_.Queue(Writer(kNext).U8(failed).Done());
}

void Session::AnswerClient(bool there, const Texts& env) {
  run_->asked = false;
  if (there) {
    AnswerNext(run_->client.get(), env, run_->started.log.get());
    run_->client.Reset();
    Thaw();
  } else {
    run_->finished = true;
    End(Kind::kExit, false);
  }
}

/** Has the first process of the command's namespace carry out an order; nullopt when that process has ended. */
std::optional<bool> Session::Give(Order order) {
  if (!manner_.has_sandbox) return freezer_.Obey(order);
  const char byte = static_cast<char>(order);
  if (write(run_->started.orders.get(), &byte, 1) != 1) return std::nullopt;
  pollfd waiting{run_->started.reports.get(), POLLIN, 0};
  Report report{};
  for (;;) {
    if (poll(&waiting, 1, -1) < 0 && errno != EINTR) throw Failure{errno, "poll"};
    const ssize_t got = read(run_->started.reports.get(), &report, sizeof report);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got != static_cast<ssize_t>(sizeof report)) return std::nullopt;
    if (report.what == Report::kAnswer) return report.value == 1;
    KeepReport(report);
  }
}

void Session::Thaw() {
  if (!run_->frozen) return;
  run_->frozen = false;
  Give(Order::kThaw);
}

void Session::TakeSignals() {
  signalfd_siginfo information{};
  while (read(signals_.get(), &information, sizeof information) > 0) {
    if (information.ssi_signo != SIGTERM || is_terminating_) continue;
    is_terminating_ = true;
    stream_.Queue(Writer(kTerminating).Done());
  }
  Reap();
}

/** Waits for children that have ended: the command itself, or orphans that the first process of a container inherits. */
void Session::Reap() {
  for (;;) {
    int status = 0;
    rusage usage{};
    const pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid <= 0) return;
    if (!run_) continue;
    Account(usage);
    if (pid != run_->started.pid) continue;
    run_->main_ended = true;
    run_->status = status;
    return;
  }
}

void Session::End(Kind reason, bool at_once) {
  if (run_->reason) return;
  run_->reason = reason;
  const pid_t pid = run_->started.pid;
  if (at_once) run_->kill_at_us = NowUs();
  else {
    // In a sandbox this is the first process of the namespace, which passes the signal on.
    if (manner_.has_sandbox || kill(-pid, SIGTERM) != 0) kill(pid, SIGTERM);
    run_->kill_at_us = NowUs() + kGraceUs;
    // A stopped process does not act on SIGTERM before it is continued.
    Thaw();
  }
}

void Session::OnTime() {
  Run& run = *run_;
  const uint64_t now = NowUs();
  if (run.kill_at_us > 0 && now >= run.kill_at_us) {
    run.kill_at_us = now + kGraceUs;
    if (!manner_.has_sandbox) kill(-run.started.pid, SIGKILL);
    kill(run.started.pid, SIGKILL);
  }
  if (run.plan.timeout_ms > 0 && now >= run.began_us + run.plan.timeout_ms * 1000) {
    run.plan.timeout_ms = 0;
    End(Kind::kTimeout, false);
  }
  if (now >= run.measure_at_us) {
    if (BytesBelow(output_, run.plan.output_bytes_max) > run.plan.output_bytes_max) End(Kind::kTooMuchOutput, true);
    // The pause is ten times what measuring took, so that a large tree costs at most a tenth of a processor.
    run.measure_at_us = NowUs() + std::max(kMeasureUs, 10 * (NowUs() - now));
  }
  if (is_first_ && now >= run.count_at_us) {
    if (manner_.processes_max > 0 && CountTasks() > manner_.processes_max) End(Kind::kTooManyProcesses, true);
    run.count_at_us = NowUs() + kCountUs;
  }
}

}  // namespace launcher
