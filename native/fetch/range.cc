#include "range.h"

#include <cstring>
#include <exception>
#include <stdexcept>

namespace {

class Filling : public Taker {
 public:
  explicit Filling(const Range& range) : range_(range) {}

  /** More than was asked for, Ask refuses. */
  void Take(const uint8_t* bytes, size_t length) override {
    std::memcpy(range_.into.get() + filled_, bytes, length);
    filled_ += length;
  }
  bool HasAll() const override { return filled_ == range_.end - range_.begin; }

 private:
  const Range& range_;
  uint64_t filled_ = 0;
};

}  // namespace

void Carry(const Range& range) {
  std::string failure;
  try {
    if (*range.given_up) throw std::runtime_error("it was given up");
    Filling filling(range);
    Ask({range.server, range.begin, range.end, range.given_up.get()}, &filling);
    if (!filling.HasAll()) throw std::runtime_error("the answer was cut");
  } catch (const std::exception& error) {
    failure = error.what();
  }
  range.ended(failure);
}
