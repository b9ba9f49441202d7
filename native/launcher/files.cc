#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace launcher {

namespace {

constexpr size_t kSmallFileBytesMax = 1 << 20;
/** Each level holds a descriptor open. Deeper trees are refused by the engine. */
constexpr int kDepthMax = 200;

bool IsDot(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

/** Opens a folder for reading, never through a symlink at its name. */
DIR* OpenFolder(int parent, const char* name) {
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return nullptr;
  DIR* folder = fdopendir(fd);
  if (folder == nullptr) close(fd);
  return folder;
}

void Measure(DIR* folder, int depth, uint64_t enough, uint64_t* total) {
  if (folder == nullptr) return;
  const int fd = dirfd(folder);
  while (*total <= enough) {
    const dirent* entry = readdir(folder);
    if (entry == nullptr) break;
    if (IsDot(entry->d_name)) continue;
    struct stat status {};
    if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(status.st_mode)) *total += static_cast<uint64_t>(status.st_size);
    if (S_ISDIR(status.st_mode) && depth < kDepthMax) Measure(OpenFolder(fd, entry->d_name), depth + 1, enough, total);
  }
  closedir(folder);
}

void Give(DIR* folder, int depth, uint32_t user, uint32_t group) {
  if (folder == nullptr) return;
  const int fd = dirfd(folder);
  while (const dirent* entry = readdir(folder)) {
    if (IsDot(entry->d_name)) continue;
    if (depth < kDepthMax) Give(OpenFolder(fd, entry->d_name), depth + 1, user, group);
    if (fchownat(fd, entry->d_name, user, group, AT_SYMLINK_NOFOLLOW) != 0) continue;
  }
  closedir(folder);
}

void Empty(DIR* folder, int depth) {
  if (folder == nullptr) return;
  const int fd = dirfd(folder);
  while (const dirent* entry = readdir(folder)) {
    if (IsDot(entry->d_name) || unlinkat(fd, entry->d_name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) continue;
    if (depth < kDepthMax) Empty(OpenFolder(fd, entry->d_name), depth + 1);
    unlinkat(fd, entry->d_name, AT_REMOVEDIR);
  }
  closedir(folder);
}

}  // namespace

void Fd::Reset(int fd) {
  if (fd_ >= 0) close(fd_);
  fd_ = fd;
}

uint64_t NowUs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

std::string ReadFile(const char* path) {
  const Fd file(open(path, O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (file && text.size() < kSmallFileBytesMax) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

bool WriteAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, data, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    data += wrote;
    size -= static_cast<size_t>(wrote);
  }
  return true;
}

Fd HoldFolder(const std::string& path) { return Fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)); }

uint64_t BytesBelow(const Fd& folder, uint64_t enough) {
  uint64_t total = 0;
  Measure(OpenFolder(folder.get(), "."), 0, enough, &total);
  return total;
}

void GiveFolder(const Fd& folder, uint32_t user, uint32_t group) {
  Give(OpenFolder(folder.get(), "."), 0, user, group);
  (void)!fchownat(folder.get(), "", user, group, AT_EMPTY_PATH);
}

void EmptyFolder(const std::string& folder) { Empty(OpenFolder(AT_FDCWD, folder.c_str()), 0); }

uint64_t CountTasks() {
  DIR* folder = OpenFolder(AT_FDCWD, "/proc");
  if (folder == nullptr) return 0;
  const auto self = static_cast<unsigned long>(getpid());
  uint64_t tasks = 0;
  while (const dirent* entry = readdir(folder)) {
    char* end = nullptr;
    const unsigned long pid = std::strtoul(entry->d_name, &end, 10);
    if (end == entry->d_name || *end != '\0' || pid == self) continue;
    struct stat status {};
    const std::string path = std::string(entry->d_name) + "/task";
    if (fstatat(dirfd(folder), path.c_str(), &status, 0) == 0 && status.st_nlink > 2) tasks += status.st_nlink - 2;
  }
  closedir(folder);
  return tasks;
}

}  // namespace launcher
