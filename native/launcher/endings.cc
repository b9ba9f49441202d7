// How a command ended. The first step kills what it left, so that nothing of it runs any more.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "session.h"

namespace launcher {

namespace {

constexpr uint64_t kEndUsMax = 10'000'000;
constexpr useconds_t kEndLookUs = 500;

}  // namespace

void Session::Account(const rusage& usage) {
  for (const timeval& time : {usage.ru_utime, usage.ru_stime}) run_->cpu_us += static_cast<uint64_t>(time.tv_sec) * 1'000'000 + static_cast<uint64_t>(time.tv_usec);
  run_->rss_bytes = std::max(run_->rss_bytes, static_cast<uint64_t>(usage.ru_maxrss) * 1024);
}

void Session::ReadReports() {
  Report report{};
  while (read(run_->started.reports.get(), &report, sizeof report) == static_cast<ssize_t>(sizeof report)) KeepReport(report);
}

/** Keeps the first report: the command's own process writes before the process that waits for it, and knows more. */
void Session::KeepReport(Report report) {
  report.why[sizeof report.why - 1] = '\0';
  if (!report_) report_ = report;
}

/** Kills all that the command left, and waits for it. In a sandbox the kernel has done so with the first process. */
void Session::KillRest() {
  if (manner_.has_sandbox) return;
  for (;;) {
    if (is_first_) kill(-1, SIGKILL);
    else {
      const std::string path = "/proc/self/task/" + std::to_string(getpid()) + "/children";
      const std::string children = ReadFile(path.c_str());
      for (const char* at = children.c_str(); *at != '\0';) {
        char* end = nullptr;
        const long pid = std::strtol(at, &end, 10);
        if (end == at) break;
        if (pid > 0) kill(static_cast<pid_t>(pid), SIGKILL);
        at = end;
      }
    }
    rusage usage{};
    const pid_t pid = wait4(-1, nullptr, 0, &usage);
    if (pid > 0) Account(usage);
    else if (errno != EINTR) break;
  }
  // Processes that the container engine started (docker exec) are not children of this one, so wait(2) does not tell of them.
  for (const uint64_t until = NowUs() + kEndUsMax; is_first_ && !Census::Take().threads.empty(); usleep(kEndLookUs)) {
    if (NowUs() > until) throw Failure{0, "processes that a command left do not end"};
    kill(-1, SIGKILL);
  }
}

uint64_t Session::OutOfMemoryKills() const {
  uint64_t kills = 0;
  for (const std::string& path : memory_files_) {
    const std::string text = ReadFile(path.c_str());
    const size_t at = text.find("oom_kill ");
    if (at != std::string::npos) kills += std::strtoull(text.c_str() + at + 9, nullptr, 10);
  }
  return kills;
}

std::pair<Kind, uint32_t> Session::Outcome(bool too_much) const {
  const Run& run = *run_;
  if (run.finished) return {Kind::kExit, 0};
  if (run.reason) return {*run.reason, 0};
  if (report_ && report_->what == Report::kNotStarted) return {Kind::kNotStarted, 0};
  if (report_ && report_->what == Report::kTooManyProcesses) return {Kind::kTooManyProcesses, 0};
  const int status = report_ && report_->what == Report::kStatus ? report_->value : run.status;
  const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (!good && OutOfMemoryKills() > run.ooms_before) return {Kind::kOutOfMemory, 0};
  if (too_much || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)) return {Kind::kTooMuchOutput, 0};
  if (WIFSIGNALED(status)) return {Kind::kSignal, static_cast<uint32_t>(WTERMSIG(status))};
  return {Kind::kExit, static_cast<uint32_t>(WEXITSTATUS(status))};
}

void Session::GiveOutput() {
  if (owner_ != std::pair<uint32_t, uint32_t>{0, 0}) GiveFolder(output_, owner_.first, owner_.second);
}

void Session::Finish() {
  KillRest();
  Run& run = *run_;
  const uint64_t wall_us = NowUs() - run.began_us;
  ReadReports();
  if (report_ && report_->what == Report::kBroken) throw Failure{0, report_->why};
  ReadLog(true);
  ports_.Close();
  const bool too_much = BytesBelow(output_, run.plan.output_bytes_max) > run.plan.output_bytes_max;
  const auto [kind, value] = Outcome(too_much);
  const std::string why = kind == Kind::kNotStarted ? report_->why : "";
  GiveOutput();
  const std::string left = traces_.Clear();
  stream_.Queue(Writer(kExit).U8(static_cast<uint8_t>(kind)).U32(value).Text(why).U64(wall_us).U64(run.cpu_us).U64(run.rss_bytes).Text(left).Done());
  run_.reset();
}

}  // namespace launcher
