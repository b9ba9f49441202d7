// inserter ROOT: mounts in another container of the same pod, without anything of it lying on the host.
//
// The first process of that container, the launcher, connects to a socket that both containers see, and
// passes a descriptor of its mount namespace. This program clones a mount of its own container and puts
// the clone there, read-only. Neither namespace shares mounts with the host, so whatever is killed, all
// is gone with the two containers. It mounts below the folder ROOT alone, and nowhere that shares its mounts:
// what is at such a place would come to the host. It needs CAP_SYS_ADMIN and CAP_SYS_CHROOT; the other
// container needs nothing. Requests come on standard input, every field ended by NUL; each is answered by a line, an
// errno or 0:
//
//   listen PATH   waits at the socket PATH, which must not be there; anybody may connect
//   bind FROM TO  shows FROM, of here, at TO, of there, read-only
//   unbind PATH   takes the newest mount at PATH away, of there, at once, busy or not
//
// It serves whoever passed a namespace first, until they close their connection: what commands send
// later is not looked at. When its standard input ends it takes all away that it has mounted.
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

/** The folder there, with a slash at its end. */
std::string root_there;
int own_namespace = -1, listener = -1;
/** This process's folder in /proc: what it says of mounts is of the namespace that the process is in. */
int own_process = -1;
/** Who has connected, and the namespace that they passed. */
int peer = -1, namespace_there = -1;
/** What is mounted there, the oldest first. */
std::vector<std::string> mounted;

void Close(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/** The mounts are gone with the container, once nobody holds its namespace. */
void ForgetPeer() {
  Close(&namespace_there);
  Close(&peer);
  mounted.clear();
}

/** A descriptor that was passed; -1 where none has come. `over`: none will come. */
int TakeDescriptor(int socket, bool* over) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  *over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
  const cmsghdr* head = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return fd;
}

/** Takes note of who has connected, passed a namespace or gone. */
void Hear() {
  if (peer >= 0) {
    bool over = false;
    int passed = TakeDescriptor(peer, &over);
    if (passed >= 0 && namespace_there < 0) std::swap(namespace_there, passed);
    Close(&passed);
    if (over) ForgetPeer();
  }
  while (listener >= 0) {
    int next = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (next < 0) break;
    if (peer >= 0) {
      Close(&next);
      continue;
    }
    peer = next;
    Hear();
  }
}

int Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool good = made >= 0 && bind(made, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && chmod(path.c_str(), 0666) == 0 && listen(made, 16) == 0;
  const int failed = good ? 0 : errno;
  if (good) std::swap(listener, made);
  Close(&made);
  return failed;
}

/** A place there, of which no part may be a link: the container's own files could lead elsewhere. */
int OpenPlace(const std::string& path, uint64_t flags) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_NO_SYMLINKS;
  return static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

/** True for a place below ROOT, by its name alone: no part of it is a link, as it is opened. */
bool IsBelowRoot(const std::string& path) {
  return path.size() > root_there.size() && path.compare(0, root_there.size(), root_there) == 0 && (path + "/").find("/../") == std::string::npos;
}

/** Whether the mount that a place lies in shares what is mounted in it. Where that is not known, it does. */
bool IsShared(int place) {
  struct statx found{};
  if (statx(place, "", AT_EMPTY_PATH, STATX_MNT_ID, &found) != 0 || (found.stx_mask & STATX_MNT_ID) == 0) return true;
  FILE* table = fdopen(openat(own_process, "mountinfo", O_RDONLY | O_CLOEXEC), "r");
  if (table == nullptr) return true;
  bool shared = true;
  char* line = nullptr;
  size_t room = 0;
  while (getline(&line, &room, table) > 0) {
    if (std::strtoull(line, nullptr, 10) != found.stx_mnt_id) continue;
    // Optional fields end with a dash, and paths in front of them have no blanks.
    const std::string text(line);
    shared = text.substr(0, text.find(" - ")).find(" shared:") != std::string::npos;
  }
  std::free(line);
  std::fclose(table);
  return shared;
}

/** Does something in the namespace there; an errno or 0. */
template <typename Action>
int There(const Action& action) {
  if (namespace_there < 0) return ENOTCONN;
  if (setns(namespace_there, CLONE_NEWNS) != 0) return errno;
  const int failed = action();
  // With the wrong mounts nothing here could go on.
  if (setns(own_namespace, CLONE_NEWNS) != 0) _exit(1);
  return failed;
}

int Bind(const std::string& from, const std::string& to) {
  if (!IsBelowRoot(to)) return EPERM;
  int tree = open_tree(AT_FDCWD, from.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (tree < 0) return errno;
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.propagation = MS_PRIVATE;
  int failed = mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0 ? 0 : errno;
  if (failed == 0) {
    failed = There([&] {
      int place = OpenPlace(to, 0);
      int why = place >= 0 ? 0 : errno;
      if (why == 0 && IsShared(place)) why = EPERM;
      if (why == 0 && move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) why = errno;
      Close(&place);
      return why;
    });
  }
  Close(&tree);
  if (failed == 0) mounted.push_back(to);
  return failed;
}

int Unbind(const std::string& path) {
  const auto newest = std::find(mounted.rbegin(), mounted.rend(), path);
  if (newest != mounted.rend()) mounted.erase(std::next(newest).base());
  return There([&] {
    const size_t slash = path.rfind('/');
    int folder = OpenPlace(path.substr(0, slash + 1), O_DIRECTORY);
    const bool good = folder >= 0 && fchdir(folder) == 0 && umount2(path.c_str() + slash + 1, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
    const int why = good ? 0 : errno;
    Close(&folder);
    return why;
  });
}

/** Takes the fields of a request from what was read, if all are there. */
bool TakeFields(std::string* read, std::vector<std::string>* fields) {
  fields->clear();
  size_t wanted = 2, at = 0;
  while (fields->size() < wanted) {
    const size_t end = read->find('\0', at);
    if (end == std::string::npos) return false;
    fields->push_back(read->substr(at, end - at));
    if (fields->front() == "bind") wanted = 3;
    at = end + 1;
  }
  read->erase(0, at);
  return true;
}

int Do(const std::vector<std::string>& fields) {
  const std::string& verb = fields[0];
  if (fields[1].empty() || fields[1][0] != '/') return EINVAL;
  if (verb == "listen") return Listen(fields[1]);
  // Whoever asks knows that the launcher has connected, which this program may not have looked at yet.
  Hear();
  if (verb == "unbind") return Unbind(fields[1]);
  return verb == "bind" && !fields[2].empty() && fields[2][0] == '/' ? Bind(fields[1], fields[2]) : EINVAL;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] != '/') {
    std::fprintf(stderr, "usage: inserter ROOT\n");
    return 2;
  }
  root_there = std::string(argv[1]) + "/";
  // It ends when its standard input does, not by signals.
  for (const int one : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(one, SIG_IGN);
  own_namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  own_process = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (own_namespace < 0 || own_process < 0) return 1;
  std::string read_so_far;
  std::vector<std::string> fields;
  for (;;) {
    pollfd waiting[] = {{0, POLLIN, 0}, {peer, POLLIN, 0}, {peer < 0 ? listener : -1, POLLIN, 0}};
    if (poll(waiting, 3, -1) < 0 && errno != EINTR) return 1;
    if (waiting[1].revents != 0 || waiting[2].revents != 0) Hear();
    if (waiting[0].revents == 0) continue;
    char buffer[65536];
    const ssize_t got = read(0, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    read_so_far.append(buffer, static_cast<size_t>(got));
    while (TakeFields(&read_so_far, &fields)) {
      std::printf("%d\n", Do(fields));
      std::fflush(stdout);
    }
  }
  while (!mounted.empty()) Unbind(std::string(mounted.back()));
  return 0;
}
