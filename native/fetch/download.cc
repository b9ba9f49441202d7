#include "download.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace {

/** Bytes that are written at once. */
constexpr size_t kStepBytes = 1 << 20;

/** Writes what comes to the file. */
class Keeping : public Taker {
 public:
  explicit Keeping(const Download& download) : kept(download.from), download_(download) { room_.reserve(kStepBytes); }

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
    kept += room_.size();
    room_.clear();
    download_.moved(kept);
  }

  /** Bytes of the object that the file has. */
  uint64_t kept;

 private:
  const Download& download_;
  std::vector<uint8_t> room_;
};

}  // namespace

void Carry(const Download& download) {
  std::string failure;
  uint64_t kept = download.from;
  try {
    Keeping keeping(download);
    download.begun();
    try {
      if (*download.given_up) throw std::runtime_error("it was given up");
      Ask({download.server, download.from, 0, download.given_up.get()}, &keeping);
      keeping.Write();
    } catch (...) {
      kept = keeping.kept;
      throw;
    }
    kept = keeping.kept;
  } catch (const std::exception& error) {
    failure = error.what();
  }
  download.ended(kept, failure);
}
