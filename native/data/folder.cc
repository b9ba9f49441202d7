#include "folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "descriptor.h"
#include "errors.h"

namespace {

constexpr size_t kSlab = kSlabMax / 8;
constexpr size_t kTarget = 256;

int OpenFolder(const Place& place) { return OpenPlace(place, O_DIRECTORY | O_NOFOLLOW); }

Kind KindOf(mode_t mode) {
  if (S_ISREG(mode)) return Kind::kFile;
  if (S_ISDIR(mode)) return Kind::kDirectory;
  if (S_ISLNK(mode)) return Kind::kSymlink;
  return Kind::kOther;
}

Status StatusOf(const struct stat& from) {
#ifdef __APPLE__
  const timespec& time = from.st_mtimespec;
#else
  const timespec& time = from.st_mtim;
#endif
  Status status;
  status.kind = KindOf(from.st_mode);
  status.executable = (from.st_mode & 0111) != 0;
  status.size = static_cast<uint64_t>(from.st_size);
  status.seconds = time.tv_sec;
  status.nanoseconds = static_cast<uint32_t>(time.tv_nsec);
  return status;
}

Status Failed(int error) {
  Status status;
  status.error = ErrnoName(error);
  return status;
}

Status StatusAt(int folder, const char* name) {
  struct stat found;
  if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) != 0) return Failed(errno);
  return StatusOf(found);
}

/** The times of a file, in the order mtime, ctime. */
std::array<timespec, 2> TimesOf(const struct stat& from) {
#ifdef __APPLE__
  return {from.st_mtimespec, from.st_ctimespec};
#else
  return {from.st_mtim, from.st_ctim};
#endif
}

Fingerprint FingerprintOf(const std::string& name, const struct stat& found, int64_t settled_ms) {
  const std::array<timespec, 2> times = TimesOf(found);
  uint64_t facts[8] = {found.st_ino, static_cast<uint64_t>(found.st_size), found.st_mode, found.st_dev};
  for (size_t i = 0; i < times.size(); i++) {
    if (times[i].tv_sec * 1000 + times[i].tv_nsec / 1000000 >= settled_ms) return {};
    facts[4 + 2 * i] = static_cast<uint64_t>(times[i].tv_sec);
    facts[5 + 2 * i] = static_cast<uint64_t>(times[i].tv_nsec);
  }
  blake3_hasher hasher = StartHash(Domain::kPlain);
  blake3_hasher_update(&hasher, facts, sizeof facts);
  blake3_hasher_update(&hasher, name.data(), name.size());
  const Hash hash = FinishHash(hasher);
  Fingerprint fingerprint;
  std::copy_n(hash.begin(), fingerprint.size(), fingerprint.begin());
  return fingerprint;
}

/** Fills slabs with one file after another. */
class Reader {
 public:
  Reader(int folder, uint64_t bytes_max) : folder_(folder), bytes_max_(bytes_max) {}

  Read ReadFile(const char* name) {
    Read read;
    const Descriptor file(OpenAt(folder_, name, 0));
    if (file.fd < 0) {
      read.status = OpenFailed(name, errno);
      return read;
    }
    struct stat opened;
    if (fstat(file.fd, &opened) != 0) {
      read.status = Failed(errno);
    } else if (!S_ISREG(opened.st_mode)) {
      read.status = Failed(EINVAL);
    } else if (static_cast<uint64_t>(opened.st_size) > bytes_max_) {
      read.status = Failed(EFBIG);
    } else {
      read.status = StatusOf(opened);
      ReadBytes(file.fd, static_cast<size_t>(opened.st_size), read);
    }
    return read;
  }

 private:
  /** Things that are not regular files may fail to open, with an error that depends on their kind. */
  Status OpenFailed(const char* name, int error) const {
    const Status now = StatusAt(folder_, name);
    return Failed(now.error.empty() && now.kind != Kind::kFile ? EINVAL : error);
  }

  /** Reads to the end of the file, which may have moved; one byte more than the limit shows that it is too long. */
  void ReadBytes(int fd, size_t expected, Read& read) {
    size_t done = 0;
    Reserve(0, expected + 1);
    for (;;) {
      if (used_ + done == capacity_) Reserve(done, 2 * done);
      const uint64_t allowed = std::min<uint64_t>(capacity_ - used_ - done, bytes_max_ + 1 - done);
      const ssize_t got = ::read(fd, slab_.get() + used_ + done, static_cast<size_t>(allowed));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        read.status = Failed(errno);
        return;
      }
      if (got == 0) break;
      done += static_cast<size_t>(got);
      if (done > bytes_max_) {
        read.status = Failed(EFBIG);
        return;
      }
    }
    read.slab = slab_;
    read.offset = used_;
    read.length = done;
    read.hash = HashOf(Domain::kPlain, slab_.get() + used_, done);
    used_ += done;
  }

  /** Room for `length` bytes, of which `done` are there already. */
  void Reserve(size_t done, size_t length) {
    if (slab_ && used_ + length <= capacity_) return;
    const size_t capacity = std::max(length, kSlab);
    Slab slab = AllocateSlab(capacity);
    if (done > 0) std::memcpy(slab.get(), slab_.get() + used_, done);
    slab_ = slab;
    used_ = 0;
    capacity_ = capacity;
  }

  const int folder_;
  const uint64_t bytes_max_;
  Slab slab_;
  size_t used_ = 0;
  size_t capacity_ = 0;
};

}  // namespace

std::vector<Listed> ListFolder(const Place& place, int64_t settled_ms) {
  const int fd = OpenFolder(place);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(fdopendir(fd), closedir);
  if (!folder) {
    const int error = errno;
    close(fd);
    throw SystemError(error, "opendir");
  }
  std::vector<Listed> listed;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr) {
      if (errno != 0) throw SystemError(errno, "readdir");
      break;
    }
    std::string name = entry->d_name;
    if (name != "." && name != "..") listed.push_back({std::move(name), {}, {}});
  }
  // std::string compares chars as unsigned, like memcmp.
  std::sort(listed.begin(), listed.end(), [](const Listed& a, const Listed& b) { return a.name < b.name; });
  // readdir may give a name twice when the folder changes meanwhile.
  const auto same = [](const Listed& a, const Listed& b) { return a.name == b.name; };
  listed.erase(std::unique(listed.begin(), listed.end(), same), listed.end());
  for (Listed& each : listed) {
    struct stat found;
    if (fstatat(fd, each.name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
      each.status = Failed(errno);
      continue;
    }
    each.status = StatusOf(found);
    if (each.status.kind == Kind::kFile) each.fingerprint = FingerprintOf(each.name, found, settled_ms);
  }
  return listed;
}

std::vector<Read> ReadFiles(const Place& folder, const std::vector<std::string>& names, uint64_t bytes_max) {
  const Descriptor opened(OpenFolder(folder));
  Reader reader(opened.fd, bytes_max);
  std::vector<Read> reads;
  reads.reserve(names.size());
  for (const std::string& name : names) reads.push_back(reader.ReadFile(name.c_str()));
  return reads;
}

std::string ReadLink(const Place& folder, const std::string& name) {
  const Descriptor opened(OpenFolder(folder));
  std::string target(kTarget, '\0');
  for (;;) {
    const ssize_t length = readlinkat(opened.fd, name.c_str(), target.data(), target.size());
    if (length < 0) throw SystemError(errno, "readlink");
    const bool whole = static_cast<size_t>(length) < target.size();
    target.resize(whole ? static_cast<size_t>(length) : 2 * target.size());
    if (whole) return target;
  }
}
