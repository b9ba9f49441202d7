// Getting a kernel connection under a path, and taking it away again.
#pragma once

#include <string>

struct MountError {
  int error;            // errno, or 0 when `message` says it
  std::string message;  // what fusermount3 printed
};

/** Mounts as root by mount(2). Returns the descriptor of /dev/fuse; throws MountError. */
int MountDirectly(const std::string& mountpoint, bool allow_other);
/** Mounts through the setuid program fusermount3, for everybody else. */
int MountByHelper(const std::string& mountpoint, bool allow_other);
/** Unmounts; `lazy` takes the name away even when files are open. Throws MountError. */
void Unmount(const std::string& mountpoint, bool lazy, bool helper);
