// Connections of the engine to ports of the command, at the loopback interface that commands see.
// None of them blocks, and each has a limit on what is under way in either direction.
#pragma once
#include <poll.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "files.h"
#include "frames.h"
#include "stream.h"

namespace launcher {

class Ports {
 public:
  explicit Ports(Stream* stream) : stream_(*stream) {}

  /** A frame about a connection. `runs`: a command does. Throws Failure for a malformed one. */
  void Take(uint8_t type, Reader reader, bool runs);
  /** Adds what there is to wait for. `reads`: the engine takes what is read. */
  void Watch(std::vector<pollfd>* waiting, bool reads) const;
  /** Passes bytes on, after a wait for what `Watch` has added. */
  void Pass(const pollfd* waited, size_t count);
  /** The command has ended: passes on what still had come, and closes all. */
  void Close();

 private:
  struct Connection {
    Fd socket;
    bool is_open = false;
    /** Input that the command has not taken yet. */
    std::string waiting;
    bool input_ends = false, input_ended = false, output_ended = false;
    /** Output that the engine has not taken yet. */
    size_t untaken = 0;
  };

  void Connect(uint32_t number, uint32_t port);
  void Opened(uint32_t number, Connection* connection);
  bool Read(uint32_t number, Connection* connection);
  bool Write(uint32_t number, Connection* connection);

  Stream& stream_;
  std::map<uint32_t, Connection> connections_;
};

}  // namespace launcher
