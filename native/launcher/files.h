// What the launcher asks of the system: descriptors that close themselves, folders measured and emptied.
#pragma once
#include <cstdint>
#include <string>
#include <utility>

namespace launcher {

/** A descriptor that is closed with its scope. */
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.Release()) {}
  Fd& operator=(Fd&& other) noexcept {
    Reset(other.Release());
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset(int fd = -1);

 private:
  int fd_;
};

/** Microseconds of a clock that only goes forward. */
uint64_t NowUs();

/** The whole of a small file (of 1 MiB at most); empty when it can't be read. */
std::string ReadFile(const char* path);

/** Writes all of it; false, with errno set, when that fails. */
bool WriteAll(int fd, const char* data, size_t size);

/** Opens a folder for the functions below, which stay in it even when its path leads elsewhere later. May be empty. */
Fd HoldFolder(const std::string& path);

/** The sum of sizes of all files below a folder; stops beyond `enough`. Folders that can't be read count as nothing. */
uint64_t BytesBelow(const Fd& folder, uint64_t enough);

/** Gives a folder and all below it to another user, following no link; what can't be given keeps its owner. */
void GiveFolder(const Fd& folder, uint32_t user, uint32_t group);

/** Removes what is in a folder, unless a symlink lies in its place. What the launcher may not remove stays. */
void EmptyFolder(const std::string& folder);

/** The number of threads that /proc shows, without those of this process. */
uint64_t CountTasks();

}  // namespace launcher
