#include "traces.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <limits>
#include <sstream>

#include "files.h"

namespace launcher {

namespace {

/** Each level holds a descriptor. */
constexpr int kDepthMax = 200;
/** Kernels update the clock that files are stamped with some hundred times a second. */
constexpr useconds_t kTickUs = 500;
constexpr int kTicksMax = 100;
/** File systems that show what the kernel knows; commands can keep nothing there. */
const std::set<std::string> kKernels = {"proc", "sysfs", "cgroup", "cgroup2"};

int64_t Nanoseconds(const timespec& time) { return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec; }

/** The clock that files are stamped with. */
int64_t FileClock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return Nanoseconds(now);
}

uint64_t Mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3ULL ^ (hash >> 29); }

/** Looks at a place and all that lies in it. */
class Walk {
 public:
  /** Finds what has changed later than `since`, and leaves out what lies at the paths `apart`. */
  Walk(const std::set<std::string>& apart, int64_t since) : apart_(apart), since_(since) {}

  /** A hash of all names, times, rights, owners and sizes; and the latest time. */
  uint64_t sum = 0;
  int64_t newest = 0;
  /** The first file that has changed since, or can't be looked at, where the walk ends; and the last folder that has changed. */
  std::string file, folder;

  /** `shown`: the path that commands have for it, empty for the root. */
  void Look(int parent, const char* name, const std::string& shown, int depth) {
    const std::string path = shown.empty() ? "/" : shown;
    struct stat status {};
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      file = path;
      return;
    }
    const int64_t changed = Nanoseconds(status.st_ctim);
    newest = std::max(newest, changed);
    const bool is_folder = S_ISDIR(status.st_mode);
    uint64_t hash = Mix(0xcbf29ce484222325ULL, static_cast<uint64_t>(changed));
    for (const uint64_t value : {uint64_t{status.st_mode}, uint64_t{status.st_uid}, uint64_t{status.st_gid}}) hash = Mix(hash, value);
    if (!is_folder) hash = Mix(hash, static_cast<uint64_t>(status.st_size));
    for (const char* at = name; *at != '\0'; at++) hash = Mix(hash, static_cast<unsigned char>(*at));
    sum += hash;
    if (changed > since_) (is_folder ? folder : file) = path;
    if (!is_folder || !file.empty()) return;
    const int fd = depth > kDepthMax ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
    if (entries == nullptr) {
      if (fd >= 0) close(fd);
      file = path;
      return;
    }
    while (const dirent* entry = readdir(entries)) {
      if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
      const std::string below = shown + "/" + entry->d_name;
      if (apart_.count(below) == 0) Look(fd, entry->d_name, below, depth + 1);
      if (!file.empty()) break;
    }
    closedir(entries);
  }

 private:
  const std::set<std::string>& apart_;
  int64_t since_;
};

/** The state of a scratch folder: its own rights, owner and the like, and whether it is empty. */
std::string StateOf(const std::string& path) {
  const Fd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  DIR* entries = folder ? opendir(path.c_str()) : nullptr;
  if (entries == nullptr || fstat(folder.get(), &status) != 0) return "";
  int count = 0;
  while (readdir(entries) != nullptr) count++;
  closedir(entries);
  char names[4096];
  const ssize_t length = flistxattr(folder.get(), names, sizeof names);
  std::ostringstream state;
  state << count << ' ' << status.st_mode << ' ' << status.st_uid << ' ' << status.st_gid << ' ' << length << ' ';
  state << std::string(names, length > 0 ? static_cast<size_t>(length) : 0);
  return state.str();
}

/** Settings of this process that commands inherit, and that commands of the same user could change. */
std::string OwnSettings() {
  std::ostringstream text;
  text << ReadFile("/proc/self/oom_score_adj") << ReadFile("/proc/self/coredump_filter");
  text << getpriority(PRIO_PROCESS, 0) << ' ' << sched_getscheduler(0) << ' ' << syscall(SYS_ioprio_get, 1, 0) << ' ' << prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  for (int resource = 0; resource < static_cast<int>(RLIMIT_NLIMITS); resource++) {
    rlimit limit{};
    getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    text << ' ' << limit.rlim_cur << '/' << limit.rlim_max;
  }
  unsigned char processors[1024] = {};
  const long size = syscall(SYS_sched_getaffinity, 0, sizeof processors, processors);
  text << ' ' << std::string(reinterpret_cast<char*>(processors), size > 0 ? static_cast<size_t>(size) : 0);
  return text.str();
}

/** The file that lists objects of System V IPC, if there are any. Each of the files begins with a line of titles. */
std::string Ipc() {
  for (const char* path : {"/proc/sysvipc/shm", "/proc/sysvipc/sem", "/proc/sysvipc/msg"}) {
    const std::string lines = ReadFile(path);
    if (std::count(lines.begin(), lines.end(), '\n') > 1) return path;
  }
  return "";
}

/** A path as /proc/self/mountinfo writes it. */
std::string Unescaped(const std::string& text) {
  std::string path;
  for (size_t at = 0; at < text.size(); at++) {
    if (text[at] != '\\' || at + 3 >= text.size()) {
      path += text[at];
      continue;
    }
    path += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
    at += 3;
  }
  return path;
}

bool IsWritable(const std::string& options) { return options.compare(0, 2, "rw") == 0; }

/** True when what is written to the root can be seen in `changes`. */
bool Shows(const std::string& changes) {
  const char* const probe = "/.pach-probe";
  const Fd file(open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return false;
  const bool seen = access((changes + probe).c_str(), F_OK) == 0;
  unlink(probe);
  return seen;
}

}  // namespace

/** Fills places_ and apart_ with what is mounted here. */
void Traces::FindPlaces(const std::string& changes) {
  std::istringstream mounts(ReadFile("/proc/self/mountinfo"));
  std::vector<std::string> writable;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string skipped, path, options, field, type, source, all;
    fields >> skipped >> skipped >> skipped >> skipped >> path >> options;
    while (fields >> field && field != "-") {
    }
    fields >> type >> source >> all;
    path = Unescaped(path);
    apart_.insert(path);
    const bool is_ours = path == "/pfs" || path.compare(0, 5, "/pfs/") == 0;
    const bool is_scratch = std::find(scratch_.begin(), scratch_.end(), path) != scratch_.end();
    if (IsWritable(options) && IsWritable(all) && kKernels.count(type) == 0 && !is_ours && !is_scratch) writable.push_back(path);
  }
  apart_.insert(scratch_.begin(), scratch_.end());
  const std::string root = Shows(changes) ? changes : "";
  for (const std::string& path : writable) places_.push_back(path == "/" ? Place{root, "", 0} : Place{path, path, 0});
}

void Traces::Begin(const std::string& changes) {
  for (const std::string& folder : scratch_) {
    const bool is_new = mkdir(folder.c_str(), 0777) == 0;
    struct stat status {};
    // The chmod copies the folder up in an overlay now: otherwise its first change would change the folder above it.
    if (lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) chmod(folder.c_str(), is_new ? 01777 : status.st_mode & 07777);
    scratch_states_.push_back(StateOf(folder));
  }
  FindPlaces(changes);
  since_ = FileClock();
  for (Place& place : places_) {
    Walk walk(apart_, std::numeric_limits<int64_t>::max());
    walk.Look(AT_FDCWD, place.real.empty() ? "/" : place.real.c_str(), place.shown, 0);
    place.sum = walk.sum;
    since_ = std::max(since_, walk.newest);
  }
  // Waits for the next tick of the clock: a change in this one would get a time that is there already.
  for (int ticks = 0; FileClock() <= since_ && ticks < kTicksMax; ticks++) usleep(kTickUs);
  settings_ = OwnSettings();
  begun_ = true;
}

std::string Traces::FirstChange() {
  for (size_t at = 0; at < scratch_.size(); at++) {
    if (StateOf(scratch_[at]) != scratch_states_[at]) return scratch_[at];
  }
  const std::string ipc = Ipc();
  if (!ipc.empty()) return ipc;
  if (OwnSettings() != settings_) return "/proc/1";
  for (const Place& place : places_) {
    Walk walk(apart_, since_);
    walk.Look(AT_FDCWD, place.real.empty() ? "/" : place.real.c_str(), place.shown, 0);
    for (const std::string& changed : {walk.file, walk.folder}) {
      if (!changed.empty()) return changed;
    }
    // Times alone don't show it when the clock was set back, or the file system keeps whole seconds.
    if (walk.sum != place.sum) return place.shown.empty() ? "/" : place.shown;
  }
  return "";
}

std::string Traces::Clear() {
  for (const std::string& folder : scratch_) EmptyFolder(folder);
  return begun_ ? FirstChange() : "";
}

}  // namespace launcher
