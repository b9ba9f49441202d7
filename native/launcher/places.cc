#include "places.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "frames.h"

namespace launcher {

void Check(bool good, const std::string& what) {
  if (!good) throw Failure{errno, what + ": " + std::strerror(errno)};
}

std::string PathOf(const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

Fd OpenInSandbox(const std::string& path, uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = resolve;
  const char* relative = path.c_str() + std::min(path.find_first_not_of('/'), path.size());
  return Fd(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, *relative == '\0' ? "." : relative, &how, sizeof how)));
}

bool IsFolder(const Fd& fd) {
  struct stat status {};
  return fstat(fd.get(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool MakeReadOnly(int fd, const char* path, bool recursive) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
  return mount_setattr(fd, path, (recursive ? AT_RECURSIVE : 0) | AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
}

void Show(const std::string& from, const Fd& to, bool read_only) {
  const Fd tree(open_tree(AT_FDCWD, from.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  Check(static_cast<bool>(tree), from + " can't be shown");
  Check(!read_only || MakeReadOnly(tree.get(), "", true), from + " can't be shown read-only");
  Check(move_mount(tree.get(), "", to.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0, from + " can't be shown");
}

void MountTmpfs(const std::string& at, const char* options) {
  Check(mount("tmpfs", at.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options) == 0, "a tmpfs at " + at);
}

}  // namespace launcher
