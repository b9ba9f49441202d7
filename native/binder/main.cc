// binder FOLDER FILE: mounts for one worker whose commands run in a container.
//
// A container sees what is mounted below a shared folder of the host. This program, run as root,
// puts read-only views there, and takes them away when it is asked to. When its standard input ends it
// takes all away, so that nothing stays mounted if the engine was killed. Requests come on
// standard input, every field ended by NUL; each is answered by a line, an errno or 0:
//
//   share PATH    makes PATH a mount of its own, shared
//   bind FROM TO  shows FROM at TO, read-only
//   unbind PATH   takes the newest mount at PATH away, at once, busy or not
//
// FOLDER and FILE are an empty folder and an empty file that nobody else uses.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

/** What is mounted, the oldest first. */
std::vector<std::string> mounted;

bool ReadField(std::string* field) {
  char* line = nullptr;
  size_t room = 0;
  const ssize_t got = getdelim(&line, &room, '\0', stdin);
  const bool whole = got > 0 && line[got - 1] == '\0';
  if (whole) *field = line;
  std::free(line);
  return whole;
}

int Unbind(const std::string& path) {
  const int failed = umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 ? 0 : errno;
  const auto newest = std::find(mounted.rbegin(), mounted.rend(), path);
  if (newest != mounted.rend()) mounted.erase(std::next(newest).base());
  return failed;
}

int Share(const std::string& path) {
  const char* at = path.c_str();
  if (mount(at, at, nullptr, MS_BIND, nullptr) != 0) return errno;
  mounted.push_back(path);
  // First private, so that it has no peers from before.
  if (mount(nullptr, at, nullptr, MS_PRIVATE, nullptr) != 0) return errno;
  return mount(nullptr, at, nullptr, MS_SHARED, nullptr) == 0 ? 0 : errno;
}

/** Made read-only in a private place first: a view that containers see before would stay writable for them. */
int Bind(const std::string& from, const std::string& to, const char* folder, const char* file) {
  struct stat what {};
  if (stat(from.c_str(), &what) != 0) return errno;
  const char* via = S_ISDIR(what.st_mode) ? folder : file;
  if (mount(from.c_str(), via, nullptr, MS_BIND, nullptr) != 0) return errno;
  int failed = mount(nullptr, via, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) == 0 ? 0 : errno;
  if (failed == 0 && mount(via, to.c_str(), nullptr, MS_BIND, nullptr) != 0) failed = errno;
  if (failed == 0) mounted.push_back(to);
  umount2(via, MNT_DETACH);
  return failed;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  // It ends when the engine closes its standard input, not by signals.
  for (const int one : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(one, SIG_IGN);
  std::string verb, from, to;
  while (ReadField(&verb) && ReadField(&from)) {
    int failed = EINVAL;
    if (verb == "share") failed = Share(from);
    if (verb == "unbind") failed = Unbind(from);
    if (verb == "bind" && ReadField(&to)) failed = Bind(from, to, words[1], words[2]);
    std::printf("%d\n", failed);
    std::fflush(stdout);
  }
  while (!mounted.empty()) Unbind(std::string(mounted.back()));
  return 0;
}
