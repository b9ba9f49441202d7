#include "session.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "rights.h"
#include "world.h"

extern char** environ;

namespace launcher {

namespace {

constexpr uint64_t kGraceUs = 2'000'000, kMeasureUs = 200'000, kCountUs = 100'000;
/** So much may wait for the engine before the command has to. */
constexpr size_t kQueueBytesMax = 256 << 10;

/** Sets a variable, whether it was there or not. */
void Set(Texts* env, const std::string& variable) {
  const size_t name = variable.find('=') + 1;
  for (std::string& other : *env) {
    if (other.compare(0, name, variable, 0, name) == 0) {
      other = variable;
      return;
    }
  }
  env->push_back(variable);
}

bool Has(const Texts& env, const std::string& prefix) {
  return std::any_of(env.begin(), env.end(), [&](const std::string& variable) { return variable.compare(0, prefix.size(), prefix) == 0; });
}

void Remove(Texts* env, const std::string& prefix) {
  env->erase(std::remove_if(env->begin(), env->end(), [&](const std::string& variable) { return variable.compare(0, prefix.size(), prefix) == 0; }), env->end());
}

void SetAll(Texts* env, const Texts& variables) {
  for (const std::string& variable : variables) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos) Malformed();
    Set(env, variable);
  }
}

void MakeFolders(const std::string& path) {
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) mkdir(path.substr(0, end).c_str(), 0755);
}

/** In a container, where the executor has put a tmpfs. */
void WriteSecrets(const Pairs& secrets, const User& user) {
  for (const auto& [path, bytes] : secrets) {
    MakeFolders(path);
    unlink(path.c_str());
    const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    const bool good = file && WriteAll(file.get(), bytes.data(), bytes.size()) && (!user.other || fchown(file.get(), user.id, user.group) == 0);
    if (!good) throw Failure{0, "the secret " + path + " can't be written: " + std::strerror(errno)};
  }
}

}  // namespace

Session::Session(Fd engine, bool namespaces) : engine_(std::move(engine)), namespaces_(namespaces), is_first_(getpid() == 1) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);
  sigprocmask(SIG_SETMASK, &blocked, nullptr);
  signals_.Reset(signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK));
  for (const int ignored : kIgnored) signal(ignored, SIG_IGN);
  int pipes[2] = {-1, -1};
  if (pipe2(pipes, O_CLOEXEC) != 0 || !signals_) throw Failure{errno, "no descriptors"};
  lifeline_read_.Reset(pipes[0]);
  lifeline_write_.Reset(pipes[1]);
  // What a command leaves comes to this process, to be ended.
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  fcntl(engine_.get(), F_SETFD, FD_CLOEXEC);
  fcntl(engine_.get(), F_SETFL, O_NONBLOCK);
}

void Session::Setup(Reader reader) {
  if (reader.U8() != kVersion) throw Failure{0, "the engine uses another version of the protocol"};
  for (char** variable = environ; *variable != nullptr; variable++) {
    if (std::strchr(*variable, '=') != nullptr) manner_.env.push_back(*variable);
  }
  const Texts given = reader.List();
  const Pairs secrets = reader.ListOfFiles();
  manner_.user = FindUser(reader.Text());
  // Root's, which a container engine gives to whom it starts.
  if (!namespaces_ && manner_.user.other) Remove(&manner_.env, "HOME=");
  SetAll(&manner_.env, given);
  manner_.folder = reader.Text();
  manner_.processes_max = reader.U32();
  manner_.lifeline[0] = lifeline_read_.get();
  manner_.lifeline[1] = lifeline_write_.get();
  traces_.SetScratch(reader.List());
  const std::string changes = reader.Text();
  owner_ = {reader.U32(), reader.U32()};
  manner_.has_world = reader.Flag();
  if (manner_.has_world != namespaces_) Malformed();
  std::string output = "/pfs/out";
  memory_files_ = {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"};
  if (manner_.has_world) {
    WorldPlan plan{reader.Text(), reader.ListOfPairs(), reader.List(), reader.Flag(), reader.Flag(), reader.List(), reader.Text()};
    reader.End();
    output = plan.slot + "/out";
    memory_files_.clear();
    for (const std::string& folder : plan.cgroups) {
      for (const char* name : {"/memory.events", "/memory.oom_control"}) memory_files_.push_back(folder + name);
    }
    manner_.scratch = plan.scratch;
    next_ = MakeWorld(plan, secrets, manner_.user.id, manner_.user.group);
    if (!BoundRights()) throw Failure{errno, "the rights of commands can't be taken"};
  } else {
    reader.End();
    WriteSecrets(secrets, manner_.user);
    next_ = ListenForNext(false);
  }
  output_ = HoldFolder(output);
  if (!Has(manner_.env, "HOME=")) manner_.env.push_back("HOME=" + manner_.user.home);
  if (!Has(manner_.env, "PATH=")) manner_.env.push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  // Commands must not look into this process, which knows their secrets and their successors'.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (!changes.empty()) traces_.Begin(changes);
  is_set_up_ = true;
  Queue(Writer(kReady).U8(kVersion).Done());
}

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
  reader.End();
  if (!run.plan.binds.empty() && !manner_.has_world) Malformed();
  // Nowhere else can all that the command started be stopped.
  if (run.plan.batching && !manner_.has_world && !is_first_) Malformed();
  Texts env = manner_.env;
  SetAll(&env, run.plan.env);
  if (run.plan.batching) {
    Set(&env, "PACH_NEXT=" + next_.name);
    for (std::string& variable : env) {
      if (variable.compare(0, 5, "PATH=") == 0) variable.insert(5, "/pach-bin:");
    }
  }
  // Who asked in the name of an earlier command has ended with it.
  while (Fd(accept4(next_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC))) {
  }
  report_.reset();
  run.ooms_before = OutOfMemoryKills();
  run.began_us = NowUs();
  run.measure_at_us = run.began_us + kMeasureUs;
  run.count_at_us = run.began_us + kCountUs;
  if (manner_.has_world) RenewWorld();
  run.started = StartCommand(manner_, run.plan, env);
  run.plan.stdin_bytes.clear();
  run_ = std::move(run);
}

void Session::Take(uint8_t type, Reader reader) {
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
    if (!run_ || !run_->asked) return;
    run_->asked = false;
    if (there) {
      AnswerNext(run_->client.get(), env, run_->started.log.get());
      run_->client.Reset();
      Thaw();
    } else {
      run_->finished = true;
      End(Kind::kExit, false);
    }
  } else if (type == kHold) {
    reader.End();
    if (run_) Queue(Writer(kHeld).U8(run_->frozen && Give(Order::kHold).value_or(false)).Done());
  } else {
    Malformed();
  }
}

void Session::ReadEngine() {
  char buffer[65536];
  const ssize_t got = read(engine_.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) throw Failure{0, ""};
  in_.append(buffer, static_cast<size_t>(got));
  while (in_.size() >= 5) {
    const size_t size = Reader(in_.data(), 4).U32();
    if (size < 1 || size > kFrameBytesMax) Malformed();
    if (in_.size() < size + 4) return;
    const std::string frame = in_.substr(4, size);
    in_.erase(0, size + 4);
    Take(static_cast<uint8_t>(frame[0]), Reader(frame.data() + 1, size - 1));
  }
}

void Session::Flush() {
  while (!out_.empty()) {
    const ssize_t wrote = send(engine_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno == EAGAIN) return;
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw Failure{0, ""};
    out_.erase(0, static_cast<size_t>(wrote));
  }
}

int Session::PatienceMs() const {
  if (!run_) return -1;
  uint64_t at = std::min(run_->measure_at_us, run_->kill_at_us > 0 ? run_->kill_at_us : UINT64_MAX);
  if (is_first_) at = std::min(at, run_->count_at_us);
  if (run_->plan.timeout_ms > 0) at = std::min(at, run_->began_us + run_->plan.timeout_ms * 1000);
  const uint64_t now = NowUs();
  return at <= now ? 0 : static_cast<int>(std::min<uint64_t>((at - now) / 1000 + 1, 60'000));
}

void Session::Wait() {
  const bool reads_log = run_ && out_.size() < kQueueBytesMax;
  const bool listens = run_ && run_->plan.batching && !run_->client;
  const bool hears = run_ && run_->client && !run_->asked;
  pollfd waiting[] = {
      {engine_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0},
      {signals_.get(), POLLIN, 0},
      {reads_log ? run_->started.log.get() : -1, POLLIN, 0},
      {listens ? next_.listener.get() : -1, POLLIN, 0},
      {hears ? run_->client.get() : -1, POLLIN, 0},
  };
  if (poll(waiting, 5, PatienceMs()) < 0 && errno != EINTR) throw Failure{errno, "poll"};
  if (waiting[2].revents != 0) ReadLog(false);
  if (waiting[3].revents != 0) run_->client.Reset(accept4(next_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (waiting[4].revents != 0) ReadClient();
  if (waiting[1].revents != 0) Reap();
  if (waiting[0].revents & (POLLIN | POLLHUP | POLLERR)) ReadEngine();
}

void Session::ReadLog(bool drain) {
  char buffer[kLogBytesMax];
  do {
    const ssize_t got = read(run_->started.log.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    // Nothing more will come, or nothing for now.
    if (got == 0) run_->started.log.Reset();
    if (got <= 0) return;
    Queue(Writer(kLog).Raw(buffer, static_cast<size_t>(got)).Done());
  } while (drain && out_.size() < (4u << 20));
}

void Session::ReadClient() {
  uint8_t failed = 0;
  if (recv(run_->client.get(), &failed, 1, MSG_DONTWAIT) != 1 || failed > 1) {
    run_->client.Reset();
    return;
  }
  run_->asked = true;
  const std::optional<bool> frozen = Give(Order::kFreeze);
  // The command has ended meanwhile.
  if (!frozen) return;
  if (!*frozen) return End(Kind::kNotStopped, true);
  run_->frozen = true;
  // What it printed belongs to the datum that it had.
  if (run_->started.log) ReadLog(true);
  GiveOutput();
  Queue(Writer(kNext).U8(failed).Done());
}

/** Has an order carried out by the first process of the command's namespace. Nothing when that has ended. */
std::optional<bool> Session::Give(Order order) {
  if (!manner_.has_world) return freezer_.Obey(order);
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

/** Takes what has ended: the command itself, or orphans that the first process of a container inherits. */
void Session::Reap() {
  signalfd_siginfo information[8];
  while (read(signals_.get(), information, sizeof information) > 0) {
  }
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
    // In a world it is the first process, which passes it on.
    if (manner_.has_world || kill(-pid, SIGTERM) != 0) kill(pid, SIGTERM);
    run_->kill_at_us = NowUs() + kGraceUs;
    // What is stopped hears no SIGTERM.
    Thaw();
  }
}

void Session::OnTime() {
  Run& run = *run_;
  const uint64_t now = NowUs();
  if (run.kill_at_us > 0 && now >= run.kill_at_us) {
    run.kill_at_us = now + kGraceUs;
    if (!manner_.has_world) kill(-run.started.pid, SIGKILL);
    kill(run.started.pid, SIGKILL);
  }
  if (run.plan.timeout_ms > 0 && now >= run.began_us + run.plan.timeout_ms * 1000) {
    run.plan.timeout_ms = 0;
    End(Kind::kTimeout, false);
  }
  if (now >= run.measure_at_us) {
    if (BytesBelow(output_, run.plan.output_bytes_max) > run.plan.output_bytes_max) End(Kind::kTooMuchOutput, true);
    // A large tree must not cost more than a tenth of a processor.
    run.measure_at_us = NowUs() + std::max(kMeasureUs, 10 * (NowUs() - now));
  }
  if (is_first_ && now >= run.count_at_us) {
    if (manner_.processes_max > 0 && CountTasks() > manner_.processes_max) End(Kind::kTooManyProcesses, true);
    run.count_at_us = NowUs() + kCountUs;
  }
}

void Session::Serve() {
  for (;;) {
    Wait();
    if (run_ && run_->main_ended) Finish();
    else if (run_) OnTime();
    Flush();
  }
}

void Session::Fail(const Failure& failure) {
  if (run_) {
    kill(run_->started.pid, SIGKILL);
    if (manner_.has_world) waitpid(run_->started.pid, nullptr, 0);
    KillRest();
  }
  if (failure.why.empty()) return;
  fcntl(engine_.get(), F_SETFL, 0);
  const std::string frame = out_ + Writer(kFailure).U32(static_cast<uint32_t>(failure.error)).Text(failure.why).Done();
  (void)WriteAll(engine_.get(), frame.data(), frame.size());
}

}  // namespace launcher
