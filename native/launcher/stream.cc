#include "stream.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace launcher {

Stream::Stream(Fd engine) : engine_(std::move(engine)) {
  fcntl(engine_.get(), F_SETFD, FD_CLOEXEC);
  fcntl(engine_.get(), F_SETFL, O_NONBLOCK);
}

void Stream::Read(const std::function<void(uint8_t type, Reader payload)>& take) {
  char buffer[65536];
  const ssize_t got = read(engine_.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) throw Failure{0, "", kExitAlone};
  in_.append(buffer, static_cast<size_t>(got));
  while (in_.size() >= 5) {
    const size_t size = Reader(in_.data(), 4).U32();
    if (size < 1 || size > kFrameBytesMax) Malformed();
    if (in_.size() < size + 4) return;
    const std::string frame = in_.substr(4, size);
    in_.erase(0, size + 4);
    take(static_cast<uint8_t>(frame[0]), Reader(frame.data() + 1, size - 1));
  }
}

void Stream::Flush() {
  while (!out_.empty()) {
    const ssize_t wrote = send(engine_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (wrote < 0 && errno == EAGAIN) return;
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw Failure{0, "", kExitAlone};
    out_.erase(0, static_cast<size_t>(wrote));
  }
}

void Stream::SendLast(const std::string& frame) {
  fcntl(engine_.get(), F_SETFL, 0);
  const std::string rest = out_ + frame;
  (void)WriteAll(engine_.get(), rest.data(), rest.size());
}

}  // namespace launcher
