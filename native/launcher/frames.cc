#include "frames.h"

#include <cstring>

namespace launcher {

void Malformed() { throw Failure{0, "the engine sent an invalid message"}; }

const char* Reader::Take(size_t size) {
  if (size > static_cast<size_t>(end_ - at_)) Malformed();
  const char* taken = at_;
  at_ += size;
  return taken;
}

uint8_t Reader::U8() { return static_cast<uint8_t>(*Take(1)); }

bool Reader::Flag() {
  const uint8_t value = U8();
  if (value > 1) Malformed();
  return value == 1;
}

uint32_t Reader::U32() {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) value |= static_cast<uint32_t>(U8()) << (8 * i);
  return value;
}

uint64_t Reader::U64() {
  const uint64_t low = U32();
  return low | static_cast<uint64_t>(U32()) << 32;
}

std::string Reader::Bytes() {
  const size_t size = U32();
  return std::string(Take(size), size);
}

std::string Reader::Rest() {
  const size_t size = static_cast<size_t>(end_ - at_);
  return std::string(Take(size), size);
}

std::string Reader::Text() {
  std::string text = Bytes();
  if (text.size() > kTextBytesMax || std::memchr(text.data(), 0, text.size()) != nullptr) Malformed();
  return text;
}

size_t Reader::Count() {
  const size_t count = U32();
  if (count > kItemsMax) Malformed();
  return count;
}

Texts Reader::List() {
  Texts texts;
  for (size_t left = Count(); left > 0; left--) texts.push_back(Text());
  return texts;
}

Pairs Reader::ListOfPairs() {
  Pairs pairs;
  for (size_t left = Count(); left > 0; left--) {
    std::string first = Text();
    pairs.emplace_back(std::move(first), Text());
  }
  return pairs;
}

Pairs Reader::ListOfFiles() {
  Pairs files;
  for (size_t left = Count(); left > 0; left--) {
    std::string path = Text();
    files.emplace_back(std::move(path), Bytes());
  }
  return files;
}

void Reader::End() const {
  if (at_ != end_) Malformed();
}

Writer::Writer(Type type) : frame_(4, '\0') { U8(type); }

Writer& Writer::U8(uint8_t value) {
  frame_.push_back(static_cast<char>(value));
  return *this;
}

Writer& Writer::U32(uint32_t value) {
  for (int i = 0; i < 4; i++) U8(static_cast<uint8_t>(value >> (8 * i)));
  return *this;
}

Writer& Writer::U64(uint64_t value) { return U32(static_cast<uint32_t>(value)).U32(static_cast<uint32_t>(value >> 32)); }

Writer& Writer::Text(const std::string& text) {
  const size_t size = std::min<size_t>(text.size(), kLogBytesMax);
  return U32(static_cast<uint32_t>(size)).Raw(text.data(), size);
}

Writer& Writer::Raw(const char* data, size_t size) {
  frame_.append(data, size);
  return *this;
}

std::string Writer::Done() {
  const size_t size = frame_.size() - 4;
  for (int i = 0; i < 4; i++) frame_[static_cast<size_t>(i)] = static_cast<char>(size >> (8 * i));
  return std::move(frame_);
}

}  // namespace launcher
