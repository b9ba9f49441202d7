#include "sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "files.h"
#include "hide.h"
#include "places.h"

namespace launcher {

namespace {

/** Entries of a folder that is shown one by one. Each entry is a mount, and every command copies all mounts. */
constexpr int kSiblingsMax = 1000;
/** Folders of the root that are the sandbox's own: code and secrets can't be shown below them, except in /run. */
const std::set<std::string> kOwn = {"proc", "tmp", "dev", "run", "pfs", "pach-bin", "scratch"};

Hidden hidden;

/** An empty file or folder to mount on. */
void MakePoint(const std::string& path, bool folder) {
  if (folder) Check(mkdir(path.c_str(), 0755) == 0 || errno == EEXIST, path);
  else Check(static_cast<bool>(Fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644))), path);
}

void CopyLink(int parent, const char* name, const std::string& to) {
  char target[4096];
  const ssize_t size = readlinkat(parent, name, target, sizeof target - 1);
  if (size < 0) return;
  target[size] = '\0';
  Check(symlink(target, to.c_str()) == 0, to);
}

/** Makes the machine's folders read-only again: what the machine has mounted in them since is not. */
void KeepReadOnly() {
  DIR* entries = opendir(".");
  Check(entries != nullptr, "a folder can't be read");
  while (const dirent* entry = readdir(entries)) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && entry->d_type == DT_DIR && kOwn.count(name) == 0) MakeReadOnly(AT_FDCWD, entry->d_name, true);
  }
  closedir(entries);
}

/** Shows every entry of an open folder of the machine (or of the sandbox) in the folder `to`, but for `skipped`. */
void ShowEntries(const Fd& folder, const std::string& to, const std::set<std::string>& skipped) {
  const int fd = openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* entries = fd < 0 ? nullptr : fdopendir(fd);
  Check(entries != nullptr, "a folder can't be read");
  int count = 0;
  while (const dirent* entry = readdir(entries)) {
    const std::string name = entry->d_name;
    struct stat status {};
    if (name == "." || name == ".." || skipped.count(name) > 0) continue;
    if (fstatat(fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (++count > kSiblingsMax) throw Failure{0, "code or secrets can't be shown in a folder of more than 1000 files: choose another one"};
    const std::string place = to + "/" + name;
    if (S_ISLNK(status.st_mode)) {
      CopyLink(fd, name.c_str(), place);
      continue;
    }
    MakePoint(place, S_ISDIR(status.st_mode));
    const Fd tree(open_tree(fd, name.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
    if (!tree) continue;
    MakeReadOnly(tree.get(), "", true);
    Check(move_mount(tree.get(), "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0, place);
  }
  closedir(entries);
}

/** Makes a folder of the machine's one of the sandbox's own, with the same entries, so that more can be put into it. */
void MakeOwn(const std::string& path) {
  const Fd folder = OpenInSandbox(path);
  Check(static_cast<bool>(folder), path);
  MountTmpfs(PathOf(folder), "mode=755");
  ShowEntries(folder, PathOf(OpenInSandbox(path)), {});
}

bool IsReadOnly(const Fd& fd) { return faccessat(AT_FDCWD, PathOf(fd).c_str(), W_OK, 0) != 0; }

/** A place of the sandbox to mount on; made, with its parents, where it does not exist. */
Fd PlaceFor(const std::string& path, bool folder) {
  const size_t first = path.find_first_not_of('/');
  if (path.empty() || path[0] != '/' || first == std::string::npos) throw Failure{0, path + ": code and secrets need an absolute path below /"};
  const std::string top = path.substr(first, path.find('/', first) - first);
  if (top != "run" && kOwn.count(top) > 0) throw Failure{0, path + ": nothing can be shown below /" + top};
  for (size_t end = path.find('/', first);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    const bool last = end == std::string::npos;
    Fd found = OpenInSandbox(part);
    if (!found) {
      const size_t slash = part.rfind('/');
      const std::string parent = part.substr(0, slash);
      if (IsReadOnly(OpenInSandbox(parent))) MakeOwn(parent);
      MakePoint(PathOf(OpenInSandbox(parent)) + part.substr(slash), !last || folder);
      found = OpenInSandbox(part);
      Check(static_cast<bool>(found), part);
    }
    if (last) return found;
  }
}

void WriteTo(const char* path, const std::string& text) {
  const Fd file(open(path, O_WRONLY | O_CLOEXEC));
  Check(file && WriteAll(file.get(), text.data(), text.size()), path);
}

/** A user namespace in which the user is who they are. */
void MapSelf(uid_t user, gid_t group) {
  WriteTo("/proc/self/setgroups", "deny");
  WriteTo("/proc/self/uid_map", std::to_string(user) + " " + std::to_string(user) + " 1");
  WriteTo("/proc/self/gid_map", std::to_string(group) + " " + std::to_string(group) + " 1");
}

void Unshare(bool no_network) {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  const int flags = CLONE_NEWNS | (user != 0 ? CLONE_NEWUSER : 0) | (no_network ? CLONE_NEWNET : 0);
  Check(unshare(flags) == 0, "commands can't be given namespaces of their own");
  if (user != 0) MapSelf(user, group);
  // Unmounts on the machine reach the sandbox, and nothing reaches the machine from here.
  Check(mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0, "the mounts of this machine");
  if (!no_network) return;
  const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  Check(socket_fd && ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) == 0, "the loopback interface");
}

/** Leaves the keyring of whoever started the launcher. This may fail, where the kernel has no keyrings or no room: the filter of system calls refuses them to commands anyway. */
void JoinKeyring() { (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr); }

/** Mounts a new root over the machine's, and makes it the working directory. */
void MakeRoot() {
  MountTmpfs("/", "mode=755");
  // `..` of the root leads to the newest mount over it; no other path does.
  Check(chdir("/..") == 0, "/");
  const Fd machine(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  Check(static_cast<bool>(machine), "/");
  ShowEntries(machine, ".", kOwn);
  for (const char* name : {"proc", "tmp", "dev", "run", "pfs", "pach-bin", "scratch"}) MakePoint(name, true);
}

/** Devices are mounted read-only so that commands can't change their rights and times, which are the machine's. Writing to a device still works. */
void MakeDevices() {
  MountTmpfs("dev", "mode=755");
  for (const char* name : {"null", "zero", "full", "random", "urandom", "tty", "kfd", "dri", "nvidia-caps"}) {
    const std::string from = std::string("/dev/") + name;
    struct stat status {};
    if (stat(from.c_str(), &status) != 0) continue;
    MakePoint(from.substr(1), S_ISDIR(status.st_mode));
    Show(from, OpenInSandbox(from), true);
  }
  DIR* devices = opendir("/dev");
  while (const dirent* entry = devices != nullptr ? readdir(devices) : nullptr) {
    if (std::strncmp(entry->d_name, "nvidia", 6) != 0 || std::strcmp(entry->d_name, "nvidia-caps") == 0) continue;
    const std::string from = std::string("/dev/") + entry->d_name;
    MakePoint(from.substr(1), false);
    Show(from, OpenInSandbox(from), true);
  }
  if (devices != nullptr) closedir(devices);
  MakePoint("dev/pts", true);
  MakePoint("dev/shm", true);
  const std::pair<const char*, const char*> links[] = {
      {"pts/ptmx", "dev/ptmx"}, {"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"}, {"/proc/self/fd/2", "dev/stderr"}};
  for (const auto& [target, link] : links) Check(symlink(target, link) == 0, link);
}

/** /run has sockets of the machine's services. Of it only the file is shown that /etc/resolv.conf leads to. */
void MakeRun() {
  MountTmpfs("run", "mode=755");
  char* resolved = realpath("/etc/resolv.conf", nullptr);
  const std::string path = resolved != nullptr ? resolved : "";
  free(resolved);
  if (path.compare(0, 5, "/run/") == 0) Show(path, PlaceFor(path, false), true);
  struct stat status {};
  // Elsewhere it is a link to /run.
  if (lstat("/var/run", &status) == 0 && S_ISDIR(status.st_mode)) MountTmpfs(PathOf(OpenInSandbox("/var/run")), "mode=755");
}

void HidePlaces(const Texts& paths, const Texts& sockets) {
  Texts machines;
  for (const std::string& path : paths) {
    // Of the machine nothing is seen in folders of the sandbox's own.
    const std::string top = path.substr(0, path.find('/', 1));
    if (path.size() > 1 && path[0] == '/' && kOwn.count(top.substr(1)) == 0) machines.push_back(path);
  }
  hidden.Hide(machines, sockets);
}

void ShowCode(const Pairs& code) {
  for (const auto& [from, to] : code) {
    struct stat status {};
    Check(stat(from.c_str(), &status) == 0, from);
    Show(from, PlaceFor(to, S_ISDIR(status.st_mode)), true);
  }
}

void WriteSecrets(const Pairs& secrets, uid_t owner, gid_t group) {
  std::set<std::string> folders;
  for (const auto& [path, bytes] : secrets) {
    const std::string folder = path.substr(0, path.rfind('/'));
    if (folders.insert(folder).second) MountTmpfs(PathOf(PlaceFor(folder, true)), "mode=755");
    const Fd holder = OpenInSandbox(folder);
    const std::string place = PathOf(holder) + path.substr(folder.size());
    const Fd file(open(place.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    Check(file && WriteAll(file.get(), bytes.data(), bytes.size()), path);
    Check(geteuid() != 0 || fchown(file.get(), owner, group) == 0, path);
  }
  for (const std::string& folder : folders) Check(MakeReadOnly(OpenInSandbox(folder).get(), "", false), folder);
}

/** The program of batching, under both of its names, and what it asks. */
NextSocket MakePrograms(const std::string& program) {
  MountTmpfs("pach-bin", "mode=755");
  for (const char* name : {"pach-bin/next", "pach-bin/pachctl"}) {
    MakePoint(name, false);
    Show(program, OpenInSandbox(name), true);
  }
  return ListenForNext(true);
}

NextSocket Furnish(const SandboxPlan& plan, const Pairs& secrets, uid_t owner, gid_t group, const Texts& sockets) {
  MakeDevices();
  MakeRun();
  HidePlaces(plan.hidden, sockets);
  NextSocket next = MakePrograms(plan.program);
  ShowCode(plan.code);
  WriteSecrets(secrets, owner, group);
  for (const auto& [from, to] : plan.code) hidden.Allow(to);
  for (const auto& [path, bytes] : secrets) hidden.Allow(path);
  Show(plan.slot + "/pfs", OpenInSandbox("pfs"), true);
  Show(plan.slot + "/out", OpenInSandbox("pfs/out"), false);
  if (!plan.scratch) Check(rmdir("scratch") == 0, "/scratch");
  for (const char* folder : {".", "dev", "run", "pach-bin"}) Check(MakeReadOnly(OpenInSandbox(folder).get(), "", false), folder);
  return next;
}

}  // namespace

NextSocket MakeSandbox(const SandboxPlan& plan, const Pairs& secrets, uid_t owner, gid_t group) {
  for (const std::string& folder : plan.cgroups) WriteTo((folder + "/cgroup.procs").c_str(), "0");
  // They are listed before this process leaves the machine's network, where it can't see them any more.
  const Texts sockets = plan.no_network ? SocketsInFolders() : Texts{};
  Unshare(plan.no_network);
  JoinKeyring();
  MakeRoot();
  try {
    return Furnish(plan, secrets, owner, group, sockets);
  } catch (const Failure& failure) {
    // The namespaces could be made, so this is no lack of rights: the error number would say that it is.
    throw Failure{0, failure.why};
  }
}

void RenewSandbox() {
  try {
    if (hidden.Renew()) KeepReadOnly();
  } catch (const Failure& failure) {
    throw Failure{0, failure.why};
  }
}

void EnterSandbox(const Pairs& binds, bool scratch) {
  const int proc = MS_NOSUID | MS_NODEV | MS_NOEXEC | (geteuid() == 0 ? MS_RDONLY : 0);
  Check(mount("proc", "proc", "proc", static_cast<unsigned long>(proc), nullptr) == 0, "/proc can't be shown");
  MountTmpfs("tmp", "mode=1777");
  MountTmpfs("dev/shm", "mode=1777");
  Check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620") == 0, "/dev/pts");
  if (scratch) MountTmpfs("scratch", "mode=1777");
  for (const auto& [from, to] : binds) {
    const Fd place = OpenInSandbox("pfs/" + to, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    Check(static_cast<bool>(place), "/pfs/" + to);
    Show(from, place, true);
  }
  Check(chroot(".") == 0, "the root of a command");
}

}  // namespace launcher
