#include "download.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "../data/hash.h"

namespace {

/** Bytes that are read, hashed and written at once. */
constexpr size_t kStepBytes = 1 << 20;

/** Writes what comes to the file, and hashes it. */
class Keeping : public Taker {
 public:
  explicit Keeping(const Download& download) : download_(download) { room_.reserve(kStepBytes); }

  /** Hashes what the file has already. */
  void Begin() {
    room_.resize(kStepBytes);
    while (kept < download_.from) {
      const size_t length = std::min<uint64_t>(kStepBytes, download_.from - kept);
      if (!ReadAt(download_.file->get(), room_.data(), length, kept)) throw std::runtime_error("the file was cut");
      blake3_hasher_update(&hasher_, room_.data(), length);
      kept += length;
    }
    room_.clear();
  }

  void Take(const uint8_t* bytes, size_t length) override {
    while (length > 0) {
      const size_t more = std::min(length, kStepBytes - room_.size());
      room_.insert(room_.end(), bytes, bytes + more);
      bytes += more;
      length -= more;
      if (room_.size() == kStepBytes) Write();
    }
  }
  /** Nobody knows before the answer has ended. */
  bool HasAll() const override { return false; }

  /** Writes what is left of the object. */
  void Write() {
    if (room_.empty()) return;
    WriteAt(download_.file->get(), room_.data(), room_.size(), kept);
    blake3_hasher_update(&hasher_, room_.data(), room_.size());
    kept += room_.size();
    room_.clear();
    download_.moved(kept);
  }

  void Seal() {
    Write();
    const Hash hash = FinishHash(hasher_);
    WriteAt(download_.file->get(), hash.data(), hash.size(), kept);
  }

  uint64_t kept = 0;

 private:
  const Download& download_;
  std::vector<uint8_t> room_;
  blake3_hasher hasher_ = StartHash(Domain::kPlain);
};

}  // namespace

void Carry(const Download& download) {
  std::string failure;
  uint64_t kept = download.from;
  try {
    Keeping keeping(download);
    download.begun();
    try {
      keeping.Begin();
      if (*download.given_up) throw std::runtime_error("it was given up");
      Ask({download.server, download.from, 0, download.given_up.get()}, &keeping);
      keeping.Seal();
    } catch (...) {
      kept = std::max(kept, keeping.kept);
      throw;
    }
    kept = keeping.kept;
  } catch (const std::exception& error) {
    failure = error.what();
  }
  download.ended(kept, failure);
}
