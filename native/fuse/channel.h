// The way to the kernel: an open /dev/fuse. Every answer is one writev(2), which the kernel takes whole,
// so any number of threads may send at once and no lock is needed.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "counters.h"

class Channel {
 public:
  /** The descriptor stays the caller's, and must be open as long as the kernel may ask. */
  Channel(int device, Counters& counters) : device_(device), counters_(counters) {}

  int device() const { return device_; }

  /**
   * Answers the request that the kernel numbers `unique`: with an errno, or (0) with these bytes. False
   * when the kernel did not take it, for instance because the request was interrupted.
   */
  bool Send(uint64_t unique, int error, const void* bytes, size_t length);
  /** Answers with bytes in several places. (*parts)[0] is left free for the header; `length` is the sum of the others. */
  bool SendParts(uint64_t unique, std::vector<iovec>* parts, size_t length);
  /** Tells the kernel something that it has not asked. */
  void Notify(int32_t code);

 private:
  bool Write(const iovec* parts, int count);

  const int device_;
  Counters& counters_;
};
