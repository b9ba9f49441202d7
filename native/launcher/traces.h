// What commands leave in a container, where later ones would find it.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "frames.h"

namespace launcher {

/**
 * A container's writable places, as they were before its first command. Changes show in the times at
 * which the kernel last changed a file (ctime), which no command can set.
 */
class Traces {
 public:
  /** `scratch` are folders that are emptied after every command. */
  void SetScratch(const Texts& scratch) { scratch_ = scratch; }

  /**
   * Remembers this moment. Where `changes` shows what was written to the container's root
   * (an overlay's upper folder), that is looked at later, else the whole root is.
   */
  void Begin(const std::string& changes);

  /** Empties scratch. Returns the first place that is not as it was at Begin; empty when all is. */
  std::string Clear();

 private:
  struct Place {
    /** The path where it is looked at, and the one that commands see; both without a slash at the end. */
    std::string real, shown;
    uint64_t sum;
  };

  void FindPlaces(const std::string& changes);
  std::string FirstChange();

  Texts scratch_;
  bool begun_ = false;
  /** The state of each scratch folder. */
  Texts scratch_states_;
  std::string settings_;
  std::vector<Place> places_;
  /** Paths that are looked at as places of their own, or not at all. */
  std::set<std::string> apart_;
  /** Files with a later ctime than this have changed since Begin; ns since 1970. */
  int64_t since_ = 0;
};

}  // namespace launcher
