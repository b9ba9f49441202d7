#include "beneath.h"

#include <fcntl.h>
#ifdef __linux__
#include <linux/openat2.h>
#include <sys/syscall.h>
#endif

#include <cerrno>
#include <utility>

#include "descriptor.h"
#include "errors.h"

namespace {

constexpr int kRead = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
/** Flags that open a folder for looking up names, for which no right to list it is needed. */
#ifdef O_PATH
constexpr int kSearch = O_PATH | O_DIRECTORY | O_CLOEXEC;
#else
constexpr int kSearch = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
#endif

template <class Call>
int Retried(Call call) {
  int result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

/** True when a path consists of plain names and slashes, as listings give them. */
bool IsPlain(const std::string& path) {
  const std::string framed = "/" + path + "/";
  for (const char* part : {"//", "/./", "/../"}) {
    if (framed.find(part) != std::string::npos) return false;
  }
  return true;
}

/** Opens one name after another, for systems where no single call does so. -1, with errno. */
int Walk(int root, const std::string& path, int flags) {
  int folder = root;
  for (size_t start = 0;;) {
    const size_t end = path.find('/', start);
    const std::string name = path.substr(start, end - start);
    const bool last = end == std::string::npos;
    const int next = last ? OpenAt(folder, name.c_str(), flags) : Retried([&] { return openat(folder, name.c_str(), kSearch | O_NOFOLLOW); });
    const int error = errno;
    if (folder != root) close(folder);
    errno = error;
    if (next < 0 || last) return next;
    folder = next;
    start = end + 1;
  }
}

int OpenBelow(int root, const std::string& path, int flags) {
#ifdef SYS_openat2
  open_how how{};
  how.flags = static_cast<uint64_t>(kRead | O_NOFOLLOW | flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  const int fd = Retried([&] { return static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)); });
  // Kernels before 5.6 do not have openat2, and some sandboxes forbid calls that they do not know.
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
#endif
  return Walk(root, path, flags);
}

int Checked(int fd) {
  if (fd < 0) throw SystemError(errno, "open");
  return fd;
}

}  // namespace

int OpenAt(int folder, const char* name, int flags) {
  return Retried([&] { return openat(folder, name, kRead | O_NOFOLLOW | flags); });
}

int OpenPlace(const Place& place, int flags) {
  const char* top = place.root.c_str();
  if (place.path.empty()) return Checked(Retried([&] { return open(top, kRead | flags); }));
  if (!IsPlain(place.path)) throw SystemError(EINVAL, "open");
  const Descriptor root(Checked(Retried([&] { return open(top, kSearch); })));
  return Checked(OpenBelow(root.fd, place.path, flags));
}
