#include "channel.h"

#include <cerrno>

#include "abi.h"

bool Channel::Send(uint64_t unique, int error, const void* bytes, size_t length) {
  fuse::OutHeader header{static_cast<uint32_t>(sizeof header + length), -error, unique};
  const iovec parts[2] = {{&header, sizeof header}, {const_cast<void*>(bytes), length}};
  return Write(parts, length > 0 ? 2 : 1);
}

bool Channel::SendParts(uint64_t unique, std::vector<iovec>* parts, size_t length) {
  fuse::OutHeader header{static_cast<uint32_t>(sizeof header + length), 0, unique};
  (*parts)[0] = {&header, sizeof header};
  return Write(parts->data(), static_cast<int>(parts->size()));
}

void Channel::Notify(int32_t code) {
  fuse::OutHeader header{sizeof header, code, 0};
  const iovec part{&header, sizeof header};
  Write(&part, 1);
}

bool Channel::Write(const iovec* parts, int count) {
  ssize_t wrote;
  do wrote = writev(device_, parts, count);
  while (wrote < 0 && errno == EINTR);
  counters_.replies += 1;
  if (wrote >= 0) return true;
  // ENOENT: the process that asked is gone. ENODEV and the like: the mount is. Anything else is a defect of ours.
  if (errno != ENOENT && errno != ENODEV && errno != ECONNABORTED && errno != EPIPE) counters_.reply_errors += 1;
  return false;
}
