// The stream to the engine, cut into frames. It never blocks: what the engine does not take yet is kept.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "files.h"
#include "frames.h"

namespace launcher {

class Stream {
 public:
  /** Takes over an open stream socket. */
  explicit Stream(Fd engine);

  int fd() const { return engine_.get(); }
  /** Reads once, and calls `take` for each frame that is whole. Throws Failure, without a reason when the engine has closed the stream. */
  void Read(const std::function<void(uint8_t type, Reader payload)>& take);
  void Queue(std::string frame) { out_ += frame; }
  /** Bytes that the engine has not taken yet. */
  size_t queued() const { return out_.size(); }
  /** Sends what the engine takes now. Throws Failure. */
  void Flush();
  /** Sends all that is queued and this frame, and waits for it; the launcher ends then, so errors are of no interest. */
  void SendLast(const std::string& frame);

 private:
  const Fd engine_;
  std::string in_, out_;
};

}  // namespace launcher
