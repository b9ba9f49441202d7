// Blobs that lie on this machine as they are stored: in whole packs of a store that is a folder, or in the
// extents of packs that the disk cache keeps (src/cache/disk.ts). Found by the place that a node names, read
// past the page cache unless that has them, decoded, and compared with their hash each time: nothing on
// the disk is trusted, and a place is a hint.
//
// Which extents there are is read from their folder once, and again when one is missed or gone: any
// process may add and remove some. No descriptor stays open, so that what is removed gives its room back.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "blob_memory.h"

class StoredBlobs {
 public:
  enum class Form { kNone, kPacks, kExtents };
  enum class Kind { kData, kMeta };
  enum class Outcome { kRead, kAbsent, kDamaged };

  struct Place {
    Kind kind;
    const uint8_t* pack;  // 16 bytes
    uint32_t offset, length;
  };

  /** Longer ones, plain or stored, are absent: no chunk is, and no node that is read here. */
  static constexpr uint64_t kBytesMax = 4 << 20;

  /** `folder` has the packs of one project: `data/<xx>/<pack>`, a file or (of extents) a folder each. */
  StoredBlobs(Form form, std::string folder) : form_(form), folder_(std::move(folder)) {}

  /** The plain bytes of the chunk of this length at a place, or of the node, which match their hash. */
  Outcome ReadChunk(const Place& place, const uint8_t* hash, uint64_t length, SharedBytes* bytes);
  Outcome ReadNode(const Place& place, const uint8_t* hash, SharedBytes* bytes);
  /** True when this machine is thought to have a place. It is not looked whether it is right. */
  bool Has(const Place& place);

 private:
  struct Extent {
    uint64_t offset, length;
    /** The beginning of an object that is being brought here. */
    bool is_part = false;
  };
  /** What was found in a pack's folder, and how that looked then. */
  struct Listed {
    std::vector<Extent> extents;
    std::array<int64_t, 2> changed{};
    /** The folder may have changed since without looking so: its clock stands still for a moment. */
    bool settled = false;
    std::chrono::steady_clock::time_point touched{};
  };

  SharedBytes ReadStored(const Place& place);
  SharedBytes ReadExtent(const Place& place, const std::string& folder);
  SharedBytes ReadFrom(int fd, uint64_t offset, uint64_t length);
  SharedBytes Decoded(const SharedBytes& stored, uint64_t plain_max, const uint8_t* hash);
  /** The shortest extent that has a place: it was fetched anew where a longer one is damaged. */
  bool FindKnown(const std::string& folder, const Place& place, Extent* extent);
  Outcome Damaged(const Place& place);
  /** False when nothing has changed since the last time. */
  bool List(const std::string& folder);
  std::string PathOf(const Place& place) const;

  const Form form_;
  const std::string folder_;
  BlobMemory memory_;
  std::mutex mutex_;
  /** By the folder's path. */
  std::unordered_map<std::string, Listed> packs_;
};
