// Brings an object as it is stored into a file, from where an earlier download stopped to the object's
// end. Nothing of it is verified here: whoever takes a chunk from the file does that.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "../common/file_io.h"
#include "server.h"

struct Download {
  Server server;
  std::shared_ptr<const DescriptorCopy> file;
  /** The file has so many bytes of the object already. */
  uint64_t from;
  bool urgent;
  /** Set from any thread to give it up. */
  std::shared_ptr<std::atomic<bool>> given_up;
  // The rest is called from a fetching thread.
  /** Its turn has come. */
  std::function<void()> begun;
  /** The file has so many bytes of the object. */
  std::function<void(uint64_t)> moved;
  /** Last: bytes of the object that the file has, and what went wrong (as Transfer::ended). */
  std::function<void(uint64_t, std::string)> ended;
};

/** Carries out a download; never throws. */
void Carry(const Download& download);
