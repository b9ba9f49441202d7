// Brings one range of an object to memory, as it is stored: a chunk of which nothing around it is wanted.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "server.h"

struct Range {
  Server server;
  /** Bytes [begin, end) of the object. */
  uint64_t begin, end;
  /** Room for them. */
  std::shared_ptr<uint8_t> into;
  /** Set from any thread to give it up. */
  std::shared_ptr<std::atomic<bool>> given_up;
  /** Called from a fetching thread, last: what went wrong (as Transfer::ended); nothing: all bytes are there. */
  std::function<void(std::string)> ended;
};

/** Carries it out; never throws. */
void Carry(const Range& range);
