#include "mount.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

extern char** environ;

namespace {

constexpr const char* kType = "fuse.pachmount";
constexpr unsigned long kClone = _IOR(229, 0, uint32_t);

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string ReadAll(int fd) {
  std::string text;
  char buffer[512];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) != 0;) {
    if (got < 0 && errno != EINTR) break;
    if (got > 0 && text.size() < 4096) text.append(buffer, static_cast<size_t>(got));
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

/** Runs a program with `fd` as its descriptor 3 (when not negative) and `errors` as its standard error. */
pid_t Spawn(const std::vector<std::string>& arguments, int fd, int errors) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (fd >= 0) posix_spawn_file_actions_adddup2(&actions, fd, 3);
  posix_spawn_file_actions_adddup2(&actions, errors, 2);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // Its messages are parsed, so they must not be translated. Of two variables with one name the first counts.
  char language[] = "LC_ALL=C";
  std::vector<char*> environment{language};
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  char comm[] = "_FUSE_COMMFD=3";
  if (fd >= 0) environment.push_back(comm);
  environment.push_back(nullptr);
  pid_t pid = 0;
  int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) throw MountError{0, arguments[0] + " is not installed"};
  if (error != 0) throw MountError{error, ""};
  return pid;
}

int WaitFor(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/** Runs a program to its end. Throws MountError with what it printed when it fails. */
void Run(const std::vector<std::string>& arguments) {
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) throw MountError{errno, ""};
  Descriptor errors(pipes[0]);
  Descriptor printed(pipes[1]);
  const pid_t pid = Spawn(arguments, -1, printed.get());
  close(printed.release());
  const std::string said = ReadAll(errors.get());
  if (WaitFor(pid) != 0) throw MountError{said.find("busy") != std::string::npos ? EBUSY : 0, said};
}

/** Escapes a text as the value of an option of fusermount3. */
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char each : text) {
    if (each == ',' || each == '\\') escaped += '\\';
    escaped += each;
  }
  return escaped;
}

/** Receives one descriptor; -1 when the other side closed without sending one. */
int Receive(int socket) {
  char byte;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  cmsghdr* header = got > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

}  // namespace

int OpenDevice() {
  const int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) throw MountError{errno, ""};
  return device;
}

void MountDirectly(int device, const std::string& mountpoint, const MountOptions& options) {
  std::string data = "fd=" + std::to_string(device) + ",rootmode=40000,user_id=" + std::to_string(geteuid()) +
                        ",group_id=" + std::to_string(getegid()) + ",default_permissions";
  if (options.allow_other) data += ",allow_other";
  const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | (options.no_exec ? MS_NOEXEC : 0);
  if (mount(options.source.c_str(), mountpoint.c_str(), kType, flags, data.c_str()) != 0) {
    throw MountError{errno, ""};
  }
}

void MountByHelper(int device, const std::string& mountpoint, const MountOptions& options) {
  int sockets[2], pipes[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) throw MountError{errno, ""};
  Descriptor mine(sockets[0]);
  int result;
  std::string said;
  {
    Descriptor theirs(sockets[1]);
    if (pipe2(pipes, O_CLOEXEC) != 0) throw MountError{errno, ""};
    Descriptor errors(pipes[0]);
    Descriptor printed(pipes[1]);
    std::string words = "ro,nosuid,nodev,default_permissions,subtype=pachmount,fsname=" + Escaped(options.source);
    if (options.allow_other) words += ",allow_other";
    if (options.no_exec) words += ",noexec";
    // dup2 of a descriptor onto itself would leave it closed on exec.
    Descriptor moved(fcntl(theirs.get(), F_DUPFD_CLOEXEC, 10));
    pid_t pid = Spawn({"fusermount3", "-o", words, "--", mountpoint}, moved.get(), printed.get());
    close(printed.release());
    close(moved.release());
    close(theirs.release());
    said = ReadAll(errors.get());
    result = WaitFor(pid);
  }
  const Descriptor opened(Receive(mine.get()));
  if (result != 0 || opened.get() < 0) throw MountError{0, said.empty() ? "fusermount3 failed" : said};
  // The helper opens the device itself; ours joins the connection, which then lives as long as ours.
  const uint32_t connection = static_cast<uint32_t>(opened.get());
  if (ioctl(device, kClone, &connection) != 0) {
    const int error = errno;
    Unmount(mountpoint, true, true);
    throw MountError{error, ""};
  }
}

void Unmount(const std::string& mountpoint, bool lazy, bool helper) {
  if (!helper) {
    if (umount2(mountpoint.c_str(), lazy ? MNT_DETACH | UMOUNT_NOFOLLOW : UMOUNT_NOFOLLOW) != 0) throw MountError{errno, ""};
    return;
  }
  std::vector<std::string> arguments{"fusermount3", "-u"};
  if (lazy) arguments.push_back("-z");
  arguments.insert(arguments.end(), {"--", mountpoint});
  try {
    Run(arguments);
  } catch (const MountError& refused) {
    if (refused.error != 0) throw;
    // fusermount3 looks into /etc/mtab, which minimal images lack. umount asks the kernel.
    arguments = {"umount"};
    if (lazy) arguments.push_back("-l");
    arguments.insert(arguments.end(), {"--", mountpoint});
    try {
      Run(arguments);
    } catch (const MountError& again) {
      if (again.error != 0) throw;
      throw MountError{0, refused.message + "\n" + again.message};
    }
  }
}
