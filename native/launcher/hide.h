// What no command may see of the machine: credentials, mounts of ours, sockets.
//
// A sandbox shows the machine's folders as they are at every moment. So a place that is hidden may be
// made or replaced later, and what is mounted over one goes when the machine renames another over
// it: before each command it is looked whether anything of that kind has happened.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "files.h"
#include "frames.h"

namespace launcher {

/** Paths of all sockets that lie in folders and are known to this network namespace. */
Texts SocketsInFolders();

class Hidden {
 public:
  /** Hides places of the machine, whether they exist yet or not, and those of `sockets` that are sockets. Throws Failure. */
  void Hide(const Texts& paths, const Texts& sockets);
  /** What the sandbox itself has put at a path is meant to be seen, should the path be a hidden one. */
  void Allow(const std::string& path);
  /** Before a command: hides what has come, or come back, to these places. True when there are new mounts. Throws Failure. */
  bool Renew();

 private:
  struct Place {
    std::string path;
    bool is_socket;
  };

  bool HasChanged();
  bool HideAll();
  void HideAt(const Place& place);
  bool HideMounts();
  void Cover(const Fd& place);
  void Watch(const std::string& path);
  void Add(const std::string& path, bool is_socket);

  std::vector<Place> places_;
  /** Mounts that may be seen at these places: what covers them, and what is allowed. */
  std::set<uint64_t> shown_;
  /** Folders in which a place may appear, and when their entries last changed. */
  std::map<std::string, timespec> folders_;
  /** All mounts when these were last looked for. */
  std::set<uint64_t> known_;
  /** Tells when mounts come and go. */
  Fd mounts_;
};

}  // namespace launcher
