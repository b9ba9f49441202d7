#include "local_files.h"

#include <fcntl.h>
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
  // The kernel would read ahead into the page cache, and keep there what it keeps for the mount as well.
  if (!lent_) posix_fadvise(file->data(), 0, 0, POSIX_FADV_RANDOM);
  Attached& attached = files_[ino];
  attached.file = std::move(file);
  std::memcpy(attached.hash.data(), hash, attached.hash.size());
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
  Segments::Hash hash;
  const std::shared_ptr<CacheFile> file = FindFor(request, &hash);
  if (!file) return false;
  if (request.offset >= file->size()) {
    channel_.Send(unique, 0, nullptr, 0);
    return true;
  }
  const size_t length = std::min<uint64_t>(request.size, file->size() - request.offset);
  std::vector<CacheFile::Part> parts;
  std::vector<SharedBytes> held;
  const uint64_t end = request.offset + length;
  const Segments::Order order = lent_ ? Segments::Order{} : segments_.Note(request.ino, request.offset, end);
  CacheFile::Outcome outcome = CacheFile::Outcome::kRead;
  if (!order.goes_on || !ReadSegments(*file, hash, request.offset, end, &parts, &held)) {
    parts.clear();
    outcome = file->Read(request.offset, length, Scratch(), &parts);
  }
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
  // The reader has his bytes: this thread reads what he will want next.
  if (!held.empty()) segments_.Prepare(*file, hash, end / Segments::kBytes + (end % Segments::kBytes != 0), order.ahead);
  return true;
}

/** Reads bytes [offset, end) where they are in the file; `held` holds what `parts` lie in. False when they are not. */
bool LocalFiles::ReadSegments(CacheFile& file, const Segments::Hash& hash, uint64_t offset, uint64_t end,
                              std::vector<CacheFile::Part>* parts, std::vector<SharedBytes>* held) {
  // Bytes on their way to the disk are in memory, and are read from there.
  if (file.runs()->NextFrom(offset, end) < end) return false;
  while (offset < end) {
    const uint64_t segment = offset / Segments::kBytes, begin = segment * Segments::kBytes;
    const uint64_t until = std::min(end, begin + Segments::kBytes);
    SharedBytes bytes = segments_.Get(file, hash, segment);
    if (!bytes) return false;
    parts->push_back({bytes.data + (offset - begin), offset, until - offset, nullptr});
    held->push_back(std::move(bytes));
    offset = until;
  }
  return true;
}

/** The file for a read; notes and tells when the read goes beyond the mark. */
std::shared_ptr<CacheFile> LocalFiles::FindFor(const Request& request, Segments::Hash* hash) {
  std::shared_ptr<CacheFile> file;
  const uint64_t end = request.offset + request.size;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = files_.find(request.ino);
    if (found == files_.end()) return nullptr;
    file = found->second.file;
    *hash = found->second.hash;
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
