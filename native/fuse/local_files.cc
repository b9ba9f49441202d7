#include "local_files.h"

#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace {

/** A thread's memory for one answer. */
uint8_t* Scratch() {
  thread_local std::vector<uint8_t> scratch(fuse::kReadBytesMax + CacheFile::kSlack);
  return scratch.data();
}

}  // namespace

void LocalFiles::Attach(uint64_t ino, std::shared_ptr<CacheFile> file, const uint8_t* hash) {
  std::shared_ptr<CacheFile> last;  // closes after the lock
  std::lock_guard<std::mutex> lock(mutex_);
  Node node;
  if (!table_.Get(ino, &node) || node.size != file->size() || std::memcmp(node.hash, hash, sizeof node.hash) != 0) return;
  last = Remove(ino);
  files_[ino] = {std::move(file)};
}

bool LocalFiles::IsAttached(uint64_t ino) {
  std::lock_guard<std::mutex> lock(mutex_);
  return files_.count(ino) != 0;
}

void LocalFiles::Detach(uint64_t ino) {
  std::shared_ptr<CacheFile> last;
  std::lock_guard<std::mutex> lock(mutex_);
  last = Remove(ino);
}

void LocalFiles::SetMark(uint64_t ino, uint64_t offset) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = files_.find(ino);
  if (found != files_.end()) found->second.mark = offset;
}

std::vector<Progress> LocalFiles::DrainProgress() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(progress_, {});
}

void LocalFiles::Forget(uint64_t ino, uint64_t lookups) {
  std::shared_ptr<CacheFile> last;
  std::lock_guard<std::mutex> lock(mutex_);
  if (table_.Forget(ino, lookups)) last = Remove(ino);
}

std::shared_ptr<CacheFile> LocalFiles::Remove(uint64_t ino) {
  auto found = files_.find(ino);
  if (found == files_.end()) return nullptr;
  std::shared_ptr<CacheFile> file = std::move(found->second.file);
  files_.erase(found);
  return file;
}

bool LocalFiles::Answer(uint64_t unique, const Request& request) {
  const std::shared_ptr<CacheFile> file = FindFor(request);
  if (!file) return false;
  if (request.offset >= file->size()) {
    channel_.Send(unique, 0, nullptr, 0);
    return true;
  }
  const size_t length = std::min<uint64_t>(request.size, file->size() - request.offset);
  std::vector<CacheFile::Part> parts;
  const CacheFile::Outcome outcome = file->Read(request.offset, length, Scratch(), &parts);
  if (outcome == CacheFile::Outcome::kDamaged) counters_.damaged_reads += 1;
  if (outcome != CacheFile::Outcome::kRead) return false;
  counters_.local_reads += 1;
  std::vector<iovec> out(1);
  for (const CacheFile::Part& part : parts) out.push_back({const_cast<uint8_t*>(part.bytes), part.length});
  if (channel_.SendParts(unique, &out, length)) counters_.bytes_read += length;
  Count(request.ino, parts);
  for (const CacheFile::Part& part : parts) {
    if (part.run) file->runs()->Sent(part.run.get(), part.offset, part.length);
  }
  return true;
}

/** The file for a read; notes and tells when the read goes beyond the mark. */
std::shared_ptr<CacheFile> LocalFiles::FindFor(const Request& request) {
  std::shared_ptr<CacheFile> file;
  const uint64_t end = request.offset + request.size;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = files_.find(request.ino);
    if (found == files_.end()) return nullptr;
    file = found->second.file;
    if (end <= found->second.mark) return file;
    found->second.mark = UINT64_MAX;
    progress_.push_back({request.ino, std::min(end, file->size())});
  }
  wake_();
  return file;
}

void LocalFiles::Count(uint64_t ino, const std::vector<CacheFile::Part>& parts) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = files_.find(ino);
  if (found == files_.end()) return;
  for (const CacheFile::Part& part : parts) {
    if (!part.run) found->second.from_file += part.length;
    else if (part.run->past) found->second.kernels_alone += part.length;
  }
}

std::shared_ptr<CacheFile> LocalFiles::Lendable(uint64_t ino) {
  Attached attached;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = files_.find(ino);
    if (found == files_.end()) return nullptr;
    attached = found->second;
  }
  // Bytes that came past the page cache are in memory only as the kernel keeps them for the mount, and
  // are read fastest from there. When it asks for them again it has dropped them.
  const uint64_t half = attached.file->size() / 2;
  const bool kept = attached.kernels_alone > half && attached.from_file < half;
  return kept || !attached.file->Sealed() ? nullptr : attached.file;
}
