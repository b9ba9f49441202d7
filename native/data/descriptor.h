// A file descriptor with an owner.
#pragma once

#include <unistd.h>

/** Closes a descriptor at the end of its scope. */
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }

  const int fd;
};
