#include "terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "frames.h"

namespace launcher {

namespace {

/** Room for one descriptor beside a message. */
union Control {
  char bytes[CMSG_SPACE(sizeof(int))];
  cmsghdr align;
};

[[noreturn]] void Refuse() { throw Failure{errno, std::string("a terminal can't be opened: ") + std::strerror(errno)}; }

}  // namespace

Terminal OpenTerminal(const WindowSize& window, const User& user) {
  // Not /dev/ptmx: in some containers that is the machine's.
  Terminal terminal{Fd(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)), Fd()};
  int unlocked = 0;
  if (!terminal.ours || ioctl(terminal.ours.get(), TIOCSPTLCK, &unlocked) != 0) Refuse();
  terminal.commands.Reset(ioctl(terminal.ours.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.commands) Refuse();
  termios modes{};
  // The Backspace key takes away characters, not bytes.
  if (tcgetattr(terminal.commands.get(), &modes) == 0) {
    modes.c_iflag |= IUTF8;
    tcsetattr(terminal.commands.get(), TCSANOW, &modes);
  }
  // Programs open it again by its name.
  if (user.other && fchown(terminal.commands.get(), user.id, static_cast<gid_t>(-1)) != 0) Refuse();
  Resize(terminal.ours, window);
  return terminal;
}

void Resize(const Fd& ours, const WindowSize& window) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(window.columns);
  size.ws_row = static_cast<unsigned short>(window.rows);
  ioctl(ours.get(), TIOCSWINSZ, &size);
}

bool MakeHandover(Fd* to, Fd* from) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  to->Reset(ends[0]);
  from->Reset(ends[1]);
  return true;
}

void HandOver(int socket, const Fd& fd) {
  char byte = 0;
  iovec part{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  const int number = fd.get();
  std::memcpy(CMSG_DATA(head), &number, sizeof number);
  if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1) Refuse();
}

Fd TakeOver(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  Control control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t got = 0;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  const cmsghdr* head = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return Fd();
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return Fd(fd);
}

}  // namespace launcher
