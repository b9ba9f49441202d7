#include "remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "descriptor.h"
#include "errors.h"

namespace {

/** Folders that are open at a time. Deeper ones are moved up first. */
constexpr int kDepthMax = 32;
/** Names of a folder that are in memory at a time. */
constexpr size_t kNamesMax = 4096;
/** How often a name is tried again that another process fills or replaces meanwhile. */
constexpr int kTriesMax = 16;
constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

#ifdef __linux__
/** Flags (chattr) that the owner of a folder may change. */
constexpr int kFlags = FS_SYNC_FL | FS_DIRSYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_NOCOW_FL | FS_COMPR_FL | FS_TOPDIR_FL | FS_JOURNAL_DATA_FL;
#endif

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

struct Name {
  std::string name;
  bool is_folder;
};

/** Identifies a mount, not a file system, which may be mounted at several places. */
struct Mount {
  uint64_t device = 0;
  uint64_t id = 0;

  bool operator!=(const Mount& other) const { return device != other.device || id != other.id; }
};

int OpenAt(int folder, const char* name, int flags) {
  int fd;
  do {
    fd = openat(folder, name, flags);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/** The mount of an open folder. */
Mount MountOf(int fd, const std::string& path) {
  struct stat found;
  if (fstat(fd, &found) != 0) throw SystemError(errno, "fstat", path);
  Mount mount{static_cast<uint64_t>(found.st_dev), 0};
#ifdef STATX_MNT_ID
  struct statx extended;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &extended) == 0 && (extended.stx_mask & STATX_MNT_ID) != 0) {
    mount.id = extended.stx_mnt_id;
  }
#endif
  return mount;
}

/** Opens a folder that its owner may not read; gives its owner all rights. -1 where that fails. */
int OpenClosed(int folder, const char* name) {
#ifdef O_PATH
  // Changes the rights through the descriptor: the name could lead to something else by now.
  const Descriptor pinned(OpenAt(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (pinned.fd < 0) return -1;
  const std::string path = "/proc/self/fd/" + std::to_string(pinned.fd);
  if (chmod(path.c_str(), S_IRWXU) != 0) return -1;
  return OpenAt(pinned.fd, ".", kFolder);
#else
  if (fchmodat(folder, name, S_IRWXU, AT_SYMLINK_NOFOLLOW) != 0) return -1;
  return OpenAt(folder, name, kFolder);
#endif
}

/** Opens a folder in which we may read, write and search, as far as that is ours to give. -1 where that fails. */
int OpenWritable(int folder, const char* name) {
  int fd = OpenAt(folder, name, kFolder);
  if (fd < 0 && errno == EACCES) fd = OpenClosed(folder, name);
  struct stat found;
  // Errors show later, when something in there can't be removed.
  if (fd >= 0 && fstat(fd, &found) == 0 && (found.st_mode & S_IRWXU) != S_IRWXU) fchmod(fd, S_IRWXU);
  return fd;
}

std::string Joined(const std::string& path, const std::string& name) {
  return path.empty() || path.back() == '/' ? path + name : path + "/" + name;
}

/** Also access lists, which new files of a folder would take over, and flags (chattr). What isn't ours to remove stays. */
void RemoveAttributes(int fd) {
#ifdef __linux__
  int flags = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && (flags & kFlags) != 0) {
    flags &= ~kFlags;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
  std::string names(static_cast<size_t>(std::max<ssize_t>(0, flistxattr(fd, nullptr, 0))), '\0');
  const ssize_t length = names.empty() ? 0 : flistxattr(fd, names.data(), names.size());
  for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(std::strlen(&names[at])) + 1) (void)fremovexattr(fd, &names[at]);
#else
  (void)fd;
#endif
}

class Remover {
 public:
  Remover(std::string path, What what) : path_(std::move(path)), what_(what) {}

  /** Removes a name in a folder. */
  void RemoveAt(int folder, const Name& entry, int depth) {
    const size_t length = path_.size();
    path_ = Joined(path_, entry.name);
    bool as_folder = entry.is_folder;
    int error = 0;
    for (int tries = 0; tries < kTriesMax; tries++) {
      // A mount point can't be removed or moved (EBUSY), so it is never opened.
      error = unlinkat(folder, entry.name.c_str(), as_folder ? AT_REMOVEDIR : 0) == 0 ? 0 : errno;
      const bool is_full = as_folder && (error == ENOTEMPTY || error == EEXIST);
      if (error == 0 || error == ENOENT || (is_full && what_ == What::kSingle)) {
        path_.resize(length);
        return;
      }
      if (is_full) {
        Enter(folder, entry.name, depth);
      } else if (as_folder ? error == ENOTDIR : error == EISDIR || error == EPERM) {
        as_folder = !as_folder;
      } else {
        break;
      }
    }
    throw SystemError(error, as_folder ? "rmdir" : "unlink", path_);
  }

  /** Removes all in the folder that was named, which it closes, and what is moved there meanwhile. */
  void EmptyTop(int fd) {
    const Folder folder = Opened(fd);
    mount_ = MountOf(fd, path_);
    top_ = fd;
    if (what_ == What::kContents) RemoveAttributes(fd);
    for (int tries = 0; tries < kTriesMax;) {
      const int moved = moved_;
      if (!EmptyOnce(folder.get(), 1)) return;
      if (moved == moved_) tries++;
    }
    throw SystemError(ENOTEMPTY, "rmdir", path_);
  }

 private:
  /** Empties a folder below, or moves it to the top. What is no folder any more is left to the caller. */
  void Enter(int parent, const std::string& name, int depth) {
    const int fd = OpenWritable(parent, name.c_str());
    if (fd < 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return;
      throw SystemError(errno, "open", path_);
    }
    if (depth == 0) return EmptyTop(fd);
    const Folder folder = Opened(fd);
    if (MountOf(fd, path_) != mount_) throw SystemError(EXDEV, "rmdir", path_);
    if (depth == kDepthMax) return MoveUp(parent, name);
    EmptyOnce(folder.get(), depth + 1);
  }

  /** False when the folder was empty. */
  bool EmptyOnce(DIR* folder, int depth) {
    rewinddir(folder);
    bool found = false;
    for (;;) {
      const std::vector<Name> names = Next(folder);
      if (names.empty()) return found;
      found = true;
      for (const Name& each : names) RemoveAt(dirfd(folder), each, depth);
    }
  }

  std::vector<Name> Next(DIR* folder) const {
    std::vector<Name> names;
    while (names.size() < kNamesMax) {
      errno = 0;
      const dirent* entry = readdir(folder);
      if (entry == nullptr) {
        if (errno != 0 && errno != ENOENT) throw SystemError(errno, "readdir", path_);
        break;
      }
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back({std::move(name), entry->d_type == DT_DIR});
    }
    return names;
  }

  /** To where the next pass over the top finds it. Nothing is lost there by a name that is taken: all of it goes. */
  void MoveUp(int parent, const std::string& name) {
    for (int tries = 0; tries < kTriesMax; tries++) {
      const std::string moved = ".deep-" + std::to_string(moved_++);
      if (renameat(parent, name.c_str(), top_, moved.c_str()) == 0 || errno == ENOENT) return;
      if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR && errno != EISDIR) break;
    }
    throw SystemError(errno, "rename", path_);
  }

  Folder Opened(int fd) const {
    Folder folder(fdopendir(fd), closedir);
    if (folder) return folder;
    const int error = errno;
    close(fd);
    throw SystemError(error, "opendir", path_);
  }

  /** Where we are, for errors. */
  std::string path_;
  const What what_;
  Mount mount_;
  int top_ = -1;
  int moved_ = 0;
};

std::vector<std::string> NamesOf(const std::string& path) {
  std::vector<std::string> names;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) names.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  for (const std::string& name : names) {
    if (name == "." || name == "..") throw SystemError(EINVAL, "remove", path);
  }
  return names;
}

}  // namespace

void Remove(const std::string& folder, const std::string& below, What what) {
  const bool is_inside = what == What::kContents;
  std::vector<std::string> steps = NamesOf(below);
  if (steps.empty() && !is_inside) throw SystemError(EINVAL, "remove", folder);
  steps.insert(steps.begin(), folder);
  const size_t folders = is_inside ? steps.size() : steps.size() - 1;
  std::string path;
  std::optional<Descriptor> parent;
  for (size_t i = 0; i < folders; i++) {
    const int from = parent ? parent->fd : AT_FDCWD;
    const char* const name = steps[i].c_str();
    const bool is_top = is_inside && i + 1 == folders;
    const int fd = is_top ? OpenWritable(from, name) : OpenAt(from, name, kFolder);
    const int error = errno;
    path = Joined(path, steps[i]);
    if (fd < 0 && error == ENOENT) return;
    if (fd < 0) throw SystemError(error, "open", path);
    if (is_top) return Remover(path, what).EmptyTop(fd);
    parent.emplace(fd);
  }
  Remover(path, what).RemoveAt(parent->fd, {steps.back(), false}, 0);
}
