#include "ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace launcher {

namespace {

constexpr size_t kConnectionsMax = 64;
/** Of one connection, that the engine has not taken. */
constexpr size_t kUntakenBytesMax = 256 << 10;

}  // namespace

void Ports::Take(uint8_t type, Reader reader, bool runs) {
  const uint32_t number = reader.U32();
  const auto found = connections_.find(number);
  Connection* const connection = found == connections_.end() ? nullptr : &found->second;
  if (type == kConnect) {
    const uint32_t port = reader.U32();
    reader.End();
    if (port < 1 || port > 65535 || connection != nullptr) Malformed();
    if (runs) Connect(number, port);
  } else if (type == kPortInput) {
    std::string bytes = reader.Rest();
    if (connection == nullptr) return;
    connection->waiting += bytes;
    if (connection->is_open && !Write(number, connection)) connections_.erase(number);
  } else if (type == kPortInputEnd) {
    const bool is_whole = reader.Flag();
    reader.End();
    if (connection == nullptr) return;
    connection->input_ends = true;
    if (is_whole || (connection->is_open && !Write(number, connection))) connections_.erase(number);
  } else {
    const uint32_t bytes = reader.U32();
    reader.End();
    if (connection == nullptr) return;
    if (bytes > connection->untaken) Malformed();
    connection->untaken -= bytes;
  }
}

void Ports::Connect(uint32_t number, uint32_t port) {
  Connection connection;
  int error = connections_.size() < kConnectionsMax ? 0 : EMFILE;
  if (error == 0) {
    connection.socket.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!connection.socket) error = errno;
    else if (connect(connection.socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      connection.is_open = true;
    } else if (errno != EINPROGRESS) error = errno;
  }
  if (error != 0 || connection.is_open) {
    stream_.Queue(Writer(kConnected).U32(number).U32(static_cast<uint32_t>(error)).Done());
  }
  if (error == 0) connections_.emplace(number, std::move(connection));
}

/** The kernel has decided about a connection. */
void Ports::Opened(uint32_t number, Connection* connection) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(connection->socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  stream_.Queue(Writer(kConnected).U32(number).U32(static_cast<uint32_t>(error)).Done());
  connection->is_open = error == 0;
}

void Ports::Watch(std::vector<pollfd>* waiting, bool reads) const {
  for (const auto& [number, connection] : connections_) {
    (void)number;
    const bool hears = connection.is_open && reads && !connection.output_ended && connection.untaken < kUntakenBytesMax;
    const bool says = !connection.is_open || !connection.waiting.empty();
    // One that waits for nothing would be woken by an error for ever: poll(2) passes over -1.
    const int fd = hears || says ? connection.socket.get() : -1;
    waiting->push_back({fd, static_cast<short>((hears ? POLLIN : 0) | (says ? POLLOUT : 0)), 0});
  }
}

void Ports::Pass(const pollfd* waited, size_t count) {
  auto at = connections_.begin();
  for (size_t index = 0; index < count && at != connections_.end(); index++) {
    const uint32_t number = at->first;
    Connection& connection = at->second;
    const pollfd& ready = waited[index];
    bool stays = true;
    if (ready.revents != 0 && !connection.is_open) {
      Opened(number, &connection);
      stays = connection.is_open;
    } else if (ready.revents != 0) {
      if ((ready.events & POLLIN) != 0) stays = Read(number, &connection);
      if (stays && (ready.events & POLLOUT) != 0) stays = Write(number, &connection);
    }
    at = stays ? std::next(at) : connections_.erase(at);
  }
}

void Ports::Close() {
  for (auto& [number, connection] : connections_) {
    size_t before = 0;
    do before = connection.untaken;
    while (connection.is_open && !connection.output_ended && before < kUntakenBytesMax && Read(number, &connection) && connection.untaken > before);
  }
  connections_.clear();
}

/** False when the connection is over. */
bool Ports::Read(uint32_t number, Connection* connection) {
  char buffer[kLogBytesMax];
  const ssize_t got = read(connection->socket.get(), buffer, sizeof buffer);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got > 0) {
    connection->untaken += static_cast<size_t>(got);
    stream_.Queue(Writer(kPortOutput).U32(number).Raw(buffer, static_cast<size_t>(got)).Done());
    return true;
  }
  connection->output_ended = true;
  stream_.Queue(Writer(kPortOutputEnd).U32(number).U8(got < 0).Done());
  return got == 0 && !connection->input_ended;
}

/** False when the connection is over. */
bool Ports::Write(uint32_t number, Connection* connection) {
  size_t taken = 0;
  while (taken < connection->waiting.size()) {
    const ssize_t wrote = send(connection->socket.get(), connection->waiting.data() + taken, connection->waiting.size() - taken, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0 && errno == EAGAIN) break;
    if (wrote < 0) {
      stream_.Queue(Writer(kPortOutputEnd).U32(number).U8(1).Done());
      return false;
    }
    taken += static_cast<size_t>(wrote);
  }
  connection->waiting.erase(0, taken);
  if (taken > 0) stream_.Queue(Writer(kPortInputTaken).U32(number).U32(static_cast<uint32_t>(taken)).Done());
  if (!connection->input_ends || connection->input_ended || !connection->waiting.empty()) return true;
  connection->input_ended = true;
  shutdown(connection->socket.get(), SHUT_WR);
  return !connection->output_ended;
}

}  // namespace launcher
