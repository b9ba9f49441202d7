// Frames of the launcher's protocol (PROTOCOL.md): read with every length checked, written whole.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace launcher {

constexpr uint8_t kVersion = 2;
constexpr size_t kFrameBytesMax = 64u << 20, kTextBytesMax = 1u << 20, kItemsMax = 65536;
constexpr size_t kLogBytesMax = 65536;

enum Type : uint8_t { kSetup = 1, kRun = 2, kKill = 3, kDatum = 4, kHold = 5, kInput = 6, kInputEnd = 7, kResize = 8, kConnect = 9, kPortInput = 10, kPortInputEnd = 11, kPortTaken = 12, kEnd = 13, kReady = 65, kLog = 66, kExit = 67, kNext = 68, kFailure = 69, kHeld = 70, kErrors = 71, kTaken = 72, kConnected = 73, kPortOutput = 74, kPortOutputEnd = 75, kPortInputTaken = 76, kTerminating = 77 };

/** Kinds of exit. */
enum class Kind : uint8_t { kExit, kSignal, kTimeout, kOutOfMemory, kTooMuchOutput, kTooManyProcesses, kNotStarted, kKilled, kNotStopped };

using Texts = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;

/** Codes that the launcher exits with. */
enum Exit : int { kExitEnd = 0, kExitFailed = 1, kExitUsage = 2, kExitAlone = 70, kExitTerminated = 143 };

/** The launcher ends: what the engine said has no meaning, or can't be done, and is told why; or there is nothing to tell. */
struct Failure {
  int error;
  std::string why;
  Exit exit = kExitFailed;
};

/** Reads a payload's fields in order; throws Failure when it is not what it must be. */
class Reader {
 public:
  Reader(const char* data, size_t size) : at_(data), end_(data + size) {}

  uint8_t U8();
  bool Flag();
  uint32_t U32();
  uint64_t U64();
  std::string Bytes();
  /** All that is left. */
  std::string Rest();
  bool AtEnd() const { return at_ == end_; }
  std::string Text();
  Texts List();
  Pairs ListOfPairs();
  /** The second of each pair may be any bytes. */
  Pairs ListOfFiles();
  void End() const;

 private:
  const char* Take(size_t size);
  size_t Count();

  const char* at_;
  const char* end_;
};

class Writer {
 public:
  explicit Writer(Type type);

  Writer& U8(uint8_t value);
  Writer& U32(uint32_t value);
  Writer& U64(uint64_t value);
  /** Cut where it would be too long for a frame. */
  Writer& Text(const std::string& text);
  Writer& Raw(const char* data, size_t size);
  /** The frame with its head. */
  std::string Done();

 private:
  std::string frame_;
};

[[noreturn]] void Malformed();

}  // namespace launcher
