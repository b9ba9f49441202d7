// Ranges of objects from web servers, by libcurl. Connections are kept by the thread that asks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

/** How to reach an object: an address, the way to it, and how long it may be silent. */
struct Server {
  std::string url, proxy, certificates;
  unsigned timeout_seconds = 0;
};

/** More than any object has of which all is asked for. */
constexpr uint64_t kObjectBytesMax = 1 << 28;

struct ServerRequest {
  const Server& server;
  /** Bytes [begin, end) of the object; 0 for `end`: all from `begin` on. */
  uint64_t begin, end;
  /** Set from any thread: then it ends soon. */
  const std::atomic<bool>* given_up;
};

/** Who takes the bytes of an answer. */
class Taker {
 public:
  /** The next bytes. What it throws ends the request, and is thrown by Ask. */
  virtual void Take(const uint8_t* bytes, size_t length) = 0;
  /** True when nothing is missing: a request that is given up then still ends well. */
  virtual bool HasAll() const = 0;

 protected:
  ~Taker() = default;
};

/** Makes a request. Throws std::exception: "refused" when the server does not accept the address. */
void Ask(const ServerRequest& request, Taker* taker);
