// launcher --version|--await PATH|--fd N|--socket PATH [--namespaces|--mounts PATH]: runs the commands of one worker, one at a time.
// launcher --socket PATH --mounts PATH --exec COMMAND [ARGUMENT...]: becomes the command once it sees its mounts.
//
// It is static and small, so that it works in any image and costs a command little more than the
// kernel does. PROTOCOL.md says how the engine speaks with it. Under the names `next` and `pachctl`
// it is what a command asks its next datum of.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "exec.h"
#include "next.h"
#include "session.h"
#include "terminal.h"

namespace {

int Usage() {
  std::fprintf(stderr, "usage: launcher --version|--await PATH|--fd N|--socket PATH [--namespaces|--mounts PATH [--exec COMMAND...]]\n");
  return launcher::kExitUsage;
}

int Tell(const launcher::Failure& failure) {
  if (!failure.why.empty()) std::fprintf(stderr, "launcher: %s: %s\n", failure.why.c_str(), std::strerror(failure.error));
  return failure.exit;
}

/** How long nobody may listen, and how long until the next try. */
constexpr int kTriesMax = 12'000;
constexpr timespec kPause{0, 50'000'000};

int PrintVersion() {
  std::printf("launcher, protocol %d\n", launcher::kVersion);
  return launcher::kExitEnd;
}

/** For whoever may look only now and then, and would lose time between two looks. */
int Await(const char* path) {
  constexpr timespec pause{0, 10'000'000};
  for (int tries = 0; tries < 1'500; tries++) {
    if (access(path, F_OK) == 0) return launcher::kExitEnd;
    nanosleep(&pause, nullptr);
  }
  return 1;
}

launcher::Fd ConnectOnce(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  launcher::Fd engine(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!engine) return launcher::Fd();
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return launcher::Fd();
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (connect(engine.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return launcher::Fd();
  return engine;
}

sigset_t Termination() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  return signals;
}

/** A file or a server that is not there yet. */
bool MayCome(int error) { return error == ENOENT || error == ECONNREFUSED || error == EAGAIN; }

/** Waits until somebody listens. Throws Failure, after SIGTERM, which must be blocked, without a reason. */
launcher::Fd Connect(const std::string& path) {
  const sigset_t terminate = Termination();
  for (int tries = 0;; tries++) {
    launcher::Fd engine = ConnectOnce(path);
    if (engine) return engine;
    const int error = errno;
    if (!MayCome(error)) throw launcher::Failure{error, path};
    if (tries >= kTriesMax) throw launcher::Failure{error, path, launcher::kExitAlone};
    if (sigtimedwait(&terminate, nullptr, &kPause) == SIGTERM) throw launcher::Failure{0, "", launcher::kExitTerminated};
  }
}

/** Lets whoever listens at `path` mount here, as long as the connection is open. Throws Failure. */
launcher::Fd PassMounts(const std::string& path) {
  launcher::Fd mounts(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!mounts) throw launcher::Failure{errno, "the mount namespace"};
  launcher::Fd peer = Connect(path);
  launcher::HandOver(peer.get(), mounts);
  return peer;
}

/** The signals, session and descriptors stay as the container's runtime made them: they are the command's. */
int Exec(const std::string& path, const std::string& mounts, char** command) {
  const sigset_t blocked = Termination();
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  const launcher::Fd shown = PassMounts(mounts);
  return launcher::ExecWhenShown(Connect(path), command);
}

/** Commands must get nothing that this process was started with, and does not know of. */
void CloseUnknown(int known) {
  for (int fd = 3; fd < 1024; fd++) {
    if (fd != known) close(fd);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 0 && launcher::IsNextName(argv[0])) return launcher::AskForNext(argc, argv);
  int fd = -1;
  std::string path, mounts;
  bool namespaces = false;
  char** command = nullptr;
  for (int at = 1; at < argc && command == nullptr; at++) {
    const std::string argument = argv[at];
    if (argument == "--version" && argc == 2) return PrintVersion();
    if (argument == "--await" && argc == 3 && at == 1) return Await(argv[2]);
    if (argument == "--namespaces") namespaces = true;
    else if (argument == "--exec" && at + 1 < argc) command = argv + at + 1;
    else if (argument == "--fd" && at + 1 < argc) fd = std::atoi(argv[++at]);
    else if (argument == "--socket" && at + 1 < argc) path = argv[++at];
    else if (argument == "--mounts" && at + 1 < argc) mounts = argv[++at];
    else return Usage();
  }
  if ((fd < 3) == path.empty() || (!mounts.empty() && (namespaces || path.empty()))) return Usage();
  if (command != nullptr && mounts.empty()) return Usage();
  if (command != nullptr) {
    try {
      return Exec(path, mounts, command);
    } catch (const launcher::Failure& failure) {
      return Tell(failure);
    }
  }
  CloseUnknown(fd);
  setsid();
  // Commands begin with default signals, whoever started this process.
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  const sigset_t blocked = Termination();
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  umask(022);
  try {
    // First: when the engine hears of this process, what it wants to mount can be.
    const launcher::Fd shown = mounts.empty() ? launcher::Fd() : PassMounts(mounts);
    launcher::Fd engine = path.empty() ? launcher::Fd(fd) : Connect(path);
    if (fcntl(engine.get(), F_GETFD) < 0) throw launcher::Failure{errno, "the descriptor"};
    launcher::Session session(std::move(engine), namespaces);
    try {
      session.Serve();
    } catch (const launcher::Failure& failure) {
      session.Fail(failure);
      return failure.exit;
    }
  } catch (const launcher::Failure& failure) {
    return Tell(failure);
  }
}
