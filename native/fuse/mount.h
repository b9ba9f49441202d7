// Getting a kernel connection under a path, and taking it away again.
#pragma once

#include <string>

struct MountError {
  int error;            // errno, or 0 when `message` says it
  std::string message;  // what fusermount3 printed
};

struct MountOptions {
  /** What the system shows as the mount's source. */
  std::string source;
  bool allow_other;
  /** No file of the mount may be run. */
  bool no_exec;
};

/** A descriptor of /dev/fuse for a mount that is to be made. All of these throw MountError. */
int OpenDevice();
/** Mounts as root by mount(2). */
void MountDirectly(int device, const std::string& mountpoint, const MountOptions& options);
/** Mounts through the setuid program fusermount3, for everybody else. */
void MountByHelper(int device, const std::string& mountpoint, const MountOptions& options);
/** Unmounts; `lazy` takes the name away even when files are open. */
void Unmount(const std::string& mountpoint, bool lazy, bool helper);
