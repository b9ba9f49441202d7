#include "command.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "filter.h"
#include "freeze.h"
#include "rights.h"
#include "sandbox.h"

namespace launcher {

namespace {

constexpr const char* kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Processes of a sandbox that are not the command's: the launcher, the first one, and one beyond the limit, to see it. */
constexpr rlim_t kSpareProcesses = 3;
constexpr int kFirstCountMs = 20, kCountMs = 100;

/** The command's ends. `errors` is the log's where it has none. A terminal is `in`, and all three. */
struct Pipes {
  Fd in, log, errors, report, orders;
  /** In a sandbox: where its first process hands our end of a terminal over. */
  Fd handover;
};

void Tell(int fd, Report::What what, int value, const std::string& why) {
  Report report{what, value, {}};
  std::snprintf(report.why, sizeof report.why, "%s", why.c_str());
  (void)WriteAll(fd, reinterpret_cast<const char*>(&report), sizeof report);
}

const char* Variable(const Texts& env, const char* prefix) {
  for (const std::string& variable : env) {
    if (variable.compare(0, std::strlen(prefix), prefix) == 0) return variable.c_str();
  }
  return nullptr;
}

std::vector<char*> Pointers(const Texts& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/** Why a program at `path` could not be run; `error` is what exec said. */
std::string WhyNot(const std::string& name, const std::string& path, int error) {
  if (error == ENOENT && access(path.c_str(), F_OK) == 0) return name + " needs an interpreter or loader that does not exist";
  if (error == ENOENT || error == ENOTDIR) return "there is no program " + name;
  if (error == EACCES) return "permission denied: " + name + " is not a program that may be run";
  if (error == ENOEXEC) return name + " is not a program: it needs a first line like #!/bin/sh, or is for another kind of machine";
  if (error == E2BIG) return "its arguments and variables are too long";
  return name + ": " + std::strerror(error);
}

/** Replaces this process with the program; returns why it could not. */
std::string Execute(const Texts& argv, const Texts& env) {
  const std::vector<char*> arguments = Pointers(argv), variables = Pointers(env);
  const std::string& name = argv[0];
  std::string tried = name;
  if (name.find('/') != std::string::npos || name.empty()) {
    execve(name.c_str(), arguments.data(), variables.data());
    return WhyNot(name, name, errno);
  }
  int error = ENOENT;
  const char* path = Variable(env, "PATH=");
  const std::string folders = (path != nullptr ? path : kDefaultPath) + 5;
  for (size_t from = 0; from <= folders.size();) {
    const size_t to = std::min(folders.find(':', from), folders.size());
    const std::string folder = to == from ? "." : folders.substr(from, to - from);
    const std::string file = folder + "/" + name;
    execve(file.c_str(), arguments.data(), variables.data());
    const bool absent = (errno == ENOENT && access(file.c_str(), F_OK) != 0) || errno == ENOTDIR;
    if (!absent && error == ENOENT) {
      error = errno;
      tried = file;
      if (error != EACCES) break;
    }
    from = to + 1;
  }
  return WhyNot(name, tried, error);
}

void Limit(int resource, rlim_t most) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource>(resource), &limit);
  limit.rlim_max = std::min(limit.rlim_max, most);
  limit.rlim_cur = std::min(limit.rlim_cur, limit.rlim_max);
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

void SetLimits(const Manner& manner, const RunPlan& plan) {
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_FSIZE, plan.output_bytes_max >= RLIM_INFINITY - 1 ? RLIM_INFINITY : plan.output_bytes_max + 1);
  // Only in a user namespace: outside of one the kernel counts all that the user runs on the machine.
  if (manner.has_sandbox && geteuid() != 0 && manner.processes_max > 0) Limit(RLIMIT_NPROC, manner.processes_max + kSpareProcesses);
}

bool BecomeUser(const User& user) {
  if (!user.other) return true;
  return setgroups(user.groups.size(), user.groups.data()) == 0 && setgid(user.group) == 0 && setuid(user.id) == 0;
}

/** The command's own process, until it is the program. */
[[noreturn]] void Become(const Manner& manner, const RunPlan& plan, const Texts& env, const Pipes& pipes) {
  setsid();
  for (const int number : kIgnored) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::string why;
  const std::string folder = manner.folder.empty() && manner.has_sandbox ? "/" : manner.folder;
  SetLimits(manner, plan);
  const int out = pipes.log ? pipes.log.get() : pipes.in.get(), errors = pipes.errors ? pipes.errors.get() : out;
  if (dup2(pipes.in.get(), 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0) why = std::string("its streams: ") + std::strerror(errno);
  else if (plan.streams == Streams::kTerminal && ioctl(0, TIOCSCTTY, 0) != 0) why = std::string("its terminal: ") + std::strerror(errno);
  else if (!BecomeUser(manner.user)) why = std::string("it can't run as its user: ") + std::strerror(errno);
  else if (manner.has_sandbox && !DropRights()) why = std::string("its rights can't be taken: ") + std::strerror(errno);
  else if (!folder.empty() && chdir(folder.c_str()) != 0) why = errno == ENOENT ? "there is no folder " + folder : folder + ": " + std::strerror(errno);
  else if (!RefuseCalls()) why = std::string("its calls can't be filtered: ") + std::strerror(errno);
  else {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    why = Execute(plan.argv, env);
  }
  Tell(pipes.report.get(), Report::kNotStarted, 0, why);
  _exit(127);
}

/** Closes all descriptors but the standard ones and these, which are in ascending order. */
void CloseOthers(std::initializer_list<int> kept) {
  unsigned from = 3;
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > from) syscall(SYS_close_range, from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  syscall(SYS_close_range, from, ~0u, 0);
}

/** True when the launcher died before PR_SET_PDEATHSIG was set, so that no signal comes. */
bool LauncherHasDied(const int* lifeline) {
  close(lifeline[1]);
  pollfd waiting{lifeline[0], POLLIN, 0};
  return poll(&waiting, 1, 0) > 0;
}

/** Waits for the command, passes SIGTERM on to it, obeys the launcher's orders and counts what runs. Does not return. */
[[noreturn]] void Watch(pid_t command, uint32_t processes_max, const Pipes& pipes, const sigset_t& signals) {
  const int report = pipes.report.get();
  const Fd caught(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  pollfd waiting[] = {{caught.get(), POLLIN, 0}, {pipes.orders.get(), POLLIN, 0}};
  Freezer freezer;
  for (int patience = kFirstCountMs;;) {
    const int ready = poll(waiting, 2, patience);
    signalfd_siginfo signal{};
    while (read(caught.get(), &signal, sizeof signal) > 0) {
      if (signal.ssi_signo == SIGTERM && kill(-command, SIGTERM) != 0) kill(command, SIGTERM);
    }
    int status = 0;
    for (pid_t pid = 1; pid > 0;) {
      pid = waitpid(-1, &status, WNOHANG);
      if (pid != command) continue;
      Tell(report, Report::kStatus, status, "");
      _exit(0);
    }
    char order = 0;
    if (waiting[1].revents != 0) {
      if (read(pipes.orders.get(), &order, 1) == 1) Tell(report, Report::kAnswer, freezer.Obey(static_cast<Order>(order)), "");
      else waiting[1].fd = -1;
    }
    if (ready > 0) continue;
    patience = kCountMs;
    if (processes_max > 0 && CountTasks() > processes_max) {
      Tell(report, Report::kTooManyProcesses, 0, "");
      _exit(0);
    }
  }
}

/** The first process of a command's namespaces: when it ends, the kernel ends all others. */
[[noreturn]] void BeFirst(const Manner& manner, const RunPlan& plan, const Texts& env, Pipes& pipes) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (LauncherHasDied(manner.lifeline)) _exit(0);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  try {
    EnterSandbox(plan.binds, manner.scratch);
    if (plan.streams == Streams::kTerminal) {
      Terminal terminal = OpenTerminal(plan.window, manner.user);
      HandOver(pipes.handover.get(), terminal.ours);
      pipes.in = std::move(terminal.commands);
    }
  } catch (const Failure& failure) {
    Tell(pipes.report.get(), Report::kBroken, failure.error, failure.why);
    _exit(0);
  }
  // vfork: the child shares this memory until it is the program. Copying page tables would cost more than all else here.
  const pid_t command = vfork();
  if (command == 0) Become(manner, plan, env, pipes);
  if (command < 0) {
    Tell(pipes.report.get(), Report::kBroken, errno, std::string("no process: ") + std::strerror(errno));
    _exit(0);
  }
  CloseOthers({std::min(pipes.report.get(), pipes.orders.get()), std::max(pipes.report.get(), pipes.orders.get())});
  Watch(command, manner.processes_max, pipes, signals);
}

/** Standard input: a memory file, so that the launcher need not write while the command reads. */
Fd Input(const RunPlan& plan) {
  if (!plan.has_stdin) return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Fd file(memfd_create("stdin", MFD_CLOEXEC));
  if (!file || !WriteAll(file.get(), plan.stdin_bytes.data(), plan.stdin_bytes.size()) || lseek(file.get(), 0, SEEK_SET) != 0) return Fd();
  return file;
}

/** Makes a pipe, of which `ours` does not wait. False, with errno set, when that fails. */
bool MakePipe(Fd* reading, Fd* writing, const Fd* ours) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  reading->Reset(ends[0]);
  writing->Reset(ends[1]);
  return ours == nullptr || fcntl(ours->get(), F_SETFL, O_NONBLOCK) == 0;
}

/** Makes what the command's streams are, but for a terminal in a sandbox. */
bool MakeStreams(const Manner& manner, const RunPlan& plan, Started* started, Pipes* pipes) {
  if (plan.streams == Streams::kTerminal) {
    if (manner.has_sandbox) return true;
    Terminal terminal = OpenTerminal(plan.window, manner.user);
    started->log = std::move(terminal.ours);
    pipes->in = std::move(terminal.commands);
    return true;
  }
  if (!MakePipe(&started->log, &pipes->log, &started->log)) return false;
  if (plan.streams == Streams::kPipes) {
    return MakePipe(&pipes->in, &started->input, &started->input) && MakePipe(&started->errors, &pipes->errors, &started->errors);
  }
  pipes->in = Input(plan);
  return static_cast<bool>(pipes->in);
}

}  // namespace

Started StartCommand(const Manner& manner, const RunPlan& plan, const Texts& env) {
  Started started{-1, Fd(), Fd(), Fd(), Fd(), Fd()};
  Pipes pipes;
  Fd handover;
  bool made = MakePipe(&started.reports, &pipes.report, &started.reports) && MakePipe(&pipes.orders, &started.orders, nullptr);
  made = made && MakeStreams(manner, plan, &started, &pipes);
  const bool waits = made && plan.streams == Streams::kTerminal && manner.has_sandbox;
  if (waits) made = MakeHandover(&handover, &pipes.handover);
  if (!made) throw Failure{errno, std::string("no descriptors for a command: ") + std::strerror(errno)};
  const unsigned long namespaces = manner.has_sandbox ? CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC : 0;
  started.pid = static_cast<pid_t>(syscall(SYS_clone, namespaces | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (started.pid < 0) throw Failure{errno, std::string("a command can't be started: ") + std::strerror(errno)};
  if (started.pid == 0 && manner.has_sandbox) BeFirst(manner, plan, env, pipes);
  if (started.pid == 0) Become(manner, plan, env, pipes);
  if (waits) {
    pipes.handover.Reset();
    started.log = TakeOver(handover.get());
  }
  if (plan.streams == Streams::kTerminal && started.log) started.input.Reset(fcntl(started.log.get(), F_DUPFD_CLOEXEC, 0));
  return started;
}

}  // namespace launcher
