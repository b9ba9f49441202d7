#include "hide.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <sstream>

#include "places.h"

namespace launcher {

namespace {

constexpr const char* kOurMounts = " - fuse.pachmount ";
constexpr const char* kEmptyFolder = "mode=555,size=4k,nr_inodes=1";
/** Of each the kernel keeps a mount, which every command copies. */
constexpr size_t kSocketsMax = 1000;
/** Of the address with which an entry of /proc/net/unix begins. */
constexpr size_t kDigits = 16;

/** Where a path leads on the machine; the path itself where it leads nowhere. */
std::string Resolve(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  const std::string found = resolved != nullptr ? resolved : path;
  free(resolved);
  return found;
}

/** The mount that is seen at a place; asks no server of a file system. */
uint64_t MountAt(const Fd& place) {
  struct statx status {};
  const bool good = place && statx(place.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) == 0;
  return good ? status.stx_mnt_id : 0;
}

bool IsSocket(const Fd& place) {
  struct stat status {};
  return place && fstat(place.get(), &status) == 0 && S_ISSOCK(status.st_mode);
}

/** Files to which links in a folder lead: credentials may be kept elsewhere. */
Texts LinkedFrom(const std::string& folder) {
  Texts found;
  DIR* entries = opendir(folder.c_str());
  while (const dirent* entry = entries != nullptr ? readdir(entries) : nullptr) {
    struct stat status {};
    const std::string path = folder + "/" + entry->d_name;
    if (lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode) && stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) found.push_back(Resolve(path));
  }
  if (entries != nullptr) closedir(entries);
  return found;
}

/** The nearest folder around a path that exists: what makes the path changes it. */
std::string FolderAround(std::string path) {
  struct stat status {};
  do path = path.substr(0, path.rfind('/'));
  while (!path.empty() && stat(path.c_str(), &status) != 0);
  return path.empty() ? "/" : path;
}

timespec ChangeOf(const std::string& folder) {
  struct stat status {};
  return stat(folder.c_str(), &status) == 0 ? status.st_mtim : timespec{};
}

/** As /proc writes a path: blanks, tabs, newlines and backslashes are `\ooo`. */
std::string Unescape(const std::string& text) {
  std::string path;
  for (size_t at = 0; at < text.size(); at++) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      path += static_cast<char>(std::strtoul(text.substr(at + 1, 3).c_str(), nullptr, 8));
      at += 3;
    } else {
      path += text[at];
    }
  }
  return path;
}

struct Mount {
  uint64_t id;
  std::string device, root, at;
  bool is_ours;
};

/** Each line of a list of mounts: id, parent, device, root, mount point, …, a dash, type, … */
std::vector<Mount> ReadMounts(const std::string& text) {
  std::vector<Mount> mounts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, at;
    fields >> id >> parent >> device >> root >> at;
    mounts.push_back({std::strtoull(id.c_str(), nullptr, 10), device, Unescape(root), Unescape(at), line.find(kOurMounts) != std::string::npos});
  }
  return mounts;
}

/** What a path is called below a folder, with a slash in front; nothing when it is not below it. */
std::optional<std::string> Below(const std::string& path, const std::string& folder) {
  const std::string base = folder == "/" ? "" : folder;
  const bool is_below = path.compare(0, base.size(), base) == 0 && (path.size() == base.size() || path[base.size()] == '/');
  return is_below ? std::optional(path.substr(base.size())) : std::nullopt;
}

/** Other paths to what lies at a path, or to a part of it: of bind mounts. */
Texts OtherPaths(const std::string& path, const std::vector<Mount>& mounts) {
  const uint64_t id = MountAt(OpenInSandbox(path));
  const auto own = std::find_if(mounts.begin(), mounts.end(), [&](const Mount& mount) { return mount.id == id; });
  const auto inner = own != mounts.end() ? Below(path, own->at) : std::nullopt;
  Texts found;
  if (!inner) return found;
  const std::string whole = (own->root == "/" ? "" : own->root) + *inner;
  for (const Mount& mount : mounts) {
    if (mount.device != own->device) continue;
    if (const auto rest = Below(whole, mount.root)) found.push_back((mount.at == "/" ? "" : mount.at) + *rest);
    else if (mount.at != "/" && Below(mount.root, whole)) found.push_back(mount.at);
  }
  return found;
}

/** The whole of a file of /proc, however long. */
std::string ReadAll(const Fd& file) {
  std::string text;
  char buffer[65536];
  for (ssize_t got = 0; (got = pread(file.get(), buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;) text.append(buffer, static_cast<size_t>(got));
  return text;
}

}  // namespace

Texts SocketsInFolders() {
  std::istringstream lines(ReadAll(Fd(open("/proc/self/net/unix", O_RDONLY | O_CLOEXEC))));
  std::set<std::string> paths;
  std::string entry;
  const auto add = [&] {
    const size_t at = entry.find(" /");
    if (at != std::string::npos) paths.insert(entry.substr(at + 1));
  };
  for (std::string line; std::getline(lines, line);) {
    // An entry begins with 16 digits and a colon. What does not goes on with a name that has a line break in it.
    if (line.size() > kDigits && line[kDigits] == ':') {
      add();
      entry = line;
    } else {
      entry += "\n" + line;
    }
  }
  add();
  if (paths.size() > kSocketsMax) {
    throw Failure{0, "network: none hides the sockets in folders, and this machine has " + std::to_string(paths.size()) + " of them: more than 1000 can't be hidden"};
  }
  return Texts(paths.begin(), paths.end());
}

void Hidden::Hide(const Texts& paths, const Texts& sockets) {
  mounts_.Reset(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC));
  Check(static_cast<bool>(mounts_), "the list of mounts");
  const std::vector<Mount> mounts = ReadMounts(ReadAll(mounts_));
  for (const std::string& path : paths) {
    Add(path, false);
    for (const std::string& other : OtherPaths(Resolve(path), mounts)) Add(other, false);
  }
  for (const std::string& path : sockets) {
    if (IsSocket(OpenInSandbox(Resolve(path)))) Add(path, true);
  }
  HideAll();
}

void Hidden::Allow(const std::string& path) { shown_.insert(MountAt(OpenInSandbox(path))); }

bool Hidden::Renew() { return HasChanged() && HideAll(); }

bool Hidden::HasChanged() {
  pollfd waiting{mounts_.get(), POLLPRI, 0};
  bool changed = poll(&waiting, 1, 0) > 0;
  for (auto& [folder, before] : folders_) {
    const timespec now = ChangeOf(folder);
    changed |= now.tv_sec != before.tv_sec || now.tv_nsec != before.tv_nsec;
    before = now;
  }
  return changed;
}

bool Hidden::HideAll() {
  const bool has_new = HideMounts();
  // More are found while these are hidden.
  for (size_t at = 0; at < places_.size(); at++) HideAt(Place(places_[at]));
  return has_new;
}

void Hidden::HideAt(const Place& hidden) {
  const std::string path = Resolve(hidden.path);
  for (const std::string& each : {hidden.path, path}) Watch(FolderAround(each));
  const Fd place = OpenInSandbox(path);
  if (!place || shown_.count(MountAt(place)) > 0 || (hidden.is_socket && !IsSocket(place))) return;
  if (IsFolder(place)) {
    for (const std::string& file : LinkedFrom(path)) Add(file, false);
  }
  Cover(place);
  Allow(path);
}

bool Hidden::HideMounts() {
  const std::vector<Mount> mounts = ReadMounts(ReadAll(mounts_));
  std::set<uint64_t> ids;
  for (const Mount& mount : mounts) ids.insert(mount.id);
  // An id may be given to another mount when this one has gone.
  for (auto shown = shown_.begin(); shown != shown_.end();) shown = ids.count(*shown) > 0 ? std::next(shown) : shown_.erase(shown);
  for (const Mount& mount : mounts) {
    if (!mount.is_ours) continue;
    // The machine's own mounts, over which the sandbox's lie, are listed with the same paths.
    const Fd place = OpenInSandbox(mount.at);
    if (MountAt(place) == mount.id) MountTmpfs(PathOf(place), kEmptyFolder);
  }
  const bool has_new = !std::includes(known_.begin(), known_.end(), ids.begin(), ids.end());
  known_ = std::move(ids);
  return has_new;
}

void Hidden::Cover(const Fd& place) {
  if (IsFolder(place)) MountTmpfs(PathOf(place), kEmptyFolder);
  else Show("/dev/null", place, true);
}

/** Before it is looked what is there: whatever comes later is a change. */
void Hidden::Watch(const std::string& folder) {
  if (folders_.count(folder) == 0) folders_.emplace(folder, ChangeOf(folder));
}

void Hidden::Add(const std::string& path, bool is_socket) {
  const bool known = std::any_of(places_.begin(), places_.end(), [&](const Place& place) { return place.path == path; });
  if (!known) places_.push_back({path, is_socket});
}

}  // namespace launcher
