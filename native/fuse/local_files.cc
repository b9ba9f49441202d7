// Large files that lie on this machine's disk: readings answered from there without JavaScript,
// and files lent to the kernel, which then reads them without us (FUSE passthrough, Linux 6.9).
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "session.h"

namespace {

constexpr unsigned long kBackingOpen = _IOW(229, 1, fuse::BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

constexpr uint8_t kChunkRef = 1;

/** A thread's memory for one answer. */
uint8_t* Scratch() {
  thread_local std::vector<uint8_t> scratch(fuse::kReadBytesMax + CacheFile::kSlack);
  return scratch.data();
}

}  // namespace

void Session::Attach(uint64_t ino, std::shared_ptr<CacheFile> file, const uint8_t* hash) {
  std::lock_guard<std::mutex> lock(files_mutex_);
  Node node;
  if (!table_->Get(ino, &node) || node.size != file->size() || std::memcmp(node.hash, hash, sizeof node.hash) != 0) return;
  files_[ino] = {std::move(file)};
}

void Session::Detach(uint64_t ino) {
  std::shared_ptr<CacheFile> last;  // closes after the lock
  std::lock_guard<std::mutex> lock(files_mutex_);
  auto found = files_.find(ino);
  if (found == files_.end()) return;
  last = std::move(found->second.file);
  files_.erase(found);
}

void Session::SetMark(uint64_t ino, uint64_t offset) {
  std::lock_guard<std::mutex> lock(files_mutex_);
  auto found = files_.find(ino);
  if (found != files_.end()) found->second.mark = offset;
}

std::shared_ptr<CacheFile> Session::FileOf(uint64_t ino) {
  std::lock_guard<std::mutex> lock(files_mutex_);
  auto found = files_.find(ino);
  return found == files_.end() ? nullptr : found->second.file;
}

void Session::Forget(uint64_t ino, uint64_t lookups) {
  std::shared_ptr<CacheFile> last;
  // One step for who reads: a number that is given out again must not find the old file.
  std::lock_guard<std::mutex> lock(files_mutex_);
  if (!table_->Forget(ino, lookups)) return;
  auto found = files_.find(ino);
  if (found == files_.end()) return;
  last = std::move(found->second.file);
  files_.erase(found);
}

bool Session::ReadLocally(uint64_t unique, const Request& request) {
  std::shared_ptr<CacheFile> file;
  bool passed = false;
  uint64_t end = request.offset + request.size;
  {
    std::lock_guard<std::mutex> lock(files_mutex_);
    auto found = files_.find(request.ino);
    if (found == files_.end()) return false;
    file = found->second.file;
    passed = end > found->second.mark;
    if (passed) found->second.mark = UINT64_MAX;
  }
  if (passed) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      progress_.push_back({request.ino, std::min(end, file->size())});
    }
    wake_();
  }
  if (request.offset >= file->size()) {
    Send(unique, 0, nullptr, 0);
    return true;
  }
  const size_t length = std::min<uint64_t>(request.size, file->size() - request.offset);
  std::vector<CacheFile::Part> parts;
  const CacheFile::Outcome outcome = file->Read(request.offset, length, Scratch(), &parts);
  if (outcome == CacheFile::Outcome::kDamaged) counters.damaged_reads += 1;
  if (outcome != CacheFile::Outcome::kRead) return false;
  counters.local_reads += 1;
  fuse::OutHeader header{static_cast<uint32_t>(sizeof header + length), 0, unique};
  std::vector<iovec> out{{&header, sizeof header}};
  for (const CacheFile::Part& part : parts) out.push_back({const_cast<uint8_t*>(part.bytes), part.length});
  if (SendParts(out.data(), static_cast<int>(out.size()))) counters.bytes_read += length;
  Count(request.ino, parts);
  for (const CacheFile::Part& part : parts) {
    if (part.run) file->runs()->Sent(part.run.get(), part.offset, part.length);
  }
  return true;
}

void Session::Count(uint64_t ino, const std::vector<CacheFile::Part>& parts) {
  std::lock_guard<std::mutex> lock(files_mutex_);
  auto found = files_.find(ino);
  if (found == files_.end()) return;
  for (const CacheFile::Part& part : parts) {
    if (!part.run) found->second.from_file += part.length;
    else if (part.run->past) found->second.kernels_alone += part.length;
  }
}

std::shared_ptr<CacheFile> Session::Lendable(uint64_t ino) {
  Attached attached;
  {
    std::lock_guard<std::mutex> lock(files_mutex_);
    auto found = files_.find(ino);
    if (found == files_.end() || passthrough_lost_) return nullptr;
    attached = found->second;
  }
  // What came past the page cache is in memory only as the kernel keeps it, and is read fastest from
  // there. That it asks again says that it no longer does.
  const uint64_t half = attached.file->size() / 2;
  const bool kept = attached.kernels_alone > half && attached.from_file < half;
  return kept || !attached.file->Sealed() ? nullptr : attached.file;
}

bool Session::ReadKept(uint64_t unique, const Request& request) {
  Node node;
  if (!table_->Get(request.ino, &node) || node.ref != kChunkRef) return false;
  const KeptBytes::Bytes bytes = chunks_.Get(node.hash);
  if (!bytes || bytes->size() != node.size) return false;
  const uint64_t begin = std::min<uint64_t>(request.offset, bytes->size());
  const uint64_t length = std::min<uint64_t>(request.size, bytes->size() - begin);
  counters.kept_answers += 1;
  if (Send(unique, 0, bytes->data() + begin, length)) counters.bytes_read += length;
  return true;
}

void Session::ReplyLocal(Request request) {
  {
    std::lock_guard<std::mutex> lock(reply_mutex_);
    const uint64_t id = request.id;
    replies_.push_back({id, 0, {}, std::make_unique<Request>(std::move(request))});
  }
  reply_ready_.notify_one();
}

void Session::WriteLocal(DataReply* reply) {
  uint64_t unique;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = pending_.find(reply->id);
    if (found == pending_.end()) return;
    unique = found->second.unique;
  }
  // Should it be interrupted meanwhile, the kernel drops the second answer.
  if (ReadLocally(unique, *reply->local)) {
    Take(reply->id, &unique);
    return;
  }
  bool first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    reply->local->tries += 1;
    ring_.push_back(std::move(*reply->local));
    first = ring_.size() == 1;
  }
  if (first) wake_();
}

void Session::Open(const fuse::InHeader& header) {
  if (!passthrough_) {
    Send(header.unique, ENOSYS, nullptr, 0);
    return;
  }
  Node node;
  if (!table_->Get(header.nodeid, &node)) {
    Send(header.unique, ESTALE, nullptr, 0);
    return;
  }
  if (node.size < kLentBytesMin) {
    fuse::OpenOut out{0, fuse::kOpenKeepCache | fuse::kOpenNoFlush, 0};
    Send(header.unique, 0, &out, sizeof out);
    return;
  }
  bool open;
  {
    std::lock_guard<std::mutex> lock(open_mutex_);
    open = table_->GetOpening(header.nodeid).count > 0;
  }
  // Whether it is on this machine's disk is not known here before it was looked for.
  if (!open && !FileOf(header.nodeid)) {
    return Enqueue(Request{header.opcode, 0, 0, header.nodeid, 0, {}}, header);
  }
  fuse::OpenOut out = Opened(header.nodeid);
  if (!Send(header.unique, 0, &out, sizeof out)) Release(header.nodeid);
}

void Session::ReplyOpen(uint64_t id, uint64_t ino) {
  uint64_t unique;
  if (!Take(id, &unique)) return;
  fuse::OpenOut out = Opened(ino);
  if (!Send(unique, 0, &out, sizeof out)) Release(ino);
}

fuse::OpenOut Session::Opened(uint64_t ino) {
  std::shared_ptr<CacheFile> file = Lendable(ino);
  std::lock_guard<std::mutex> lock(open_mutex_);
  Opening opening = table_->GetOpening(ino);
  if (opening.count == 0) opening.backing = file ? Lend(file->data()) : 0;
  opening.count += 1;
  table_->SetOpening(ino, opening);
  if (opening.backing == 0) return {kCounted, fuse::kOpenKeepCache | fuse::kOpenNoFlush, 0};
  counters.passthrough_opens += 1;
  return {kCounted, fuse::kOpenPassthrough | fuse::kOpenNoFlush, opening.backing};
}

void Session::Release(uint64_t ino) {
  std::lock_guard<std::mutex> lock(open_mutex_);
  Opening opening = table_->GetOpening(ino);
  if (opening.count == 0) return;
  opening.count -= 1;
  // Only now: while the kernel opens the file it looks the number up once more.
  if (opening.count == 0 && opening.backing != 0) {
    uint32_t backing = static_cast<uint32_t>(opening.backing);
    ioctl(options_.device, kBackingClose, &backing);
    opening.backing = 0;
  }
  table_->SetOpening(ino, opening);
}

/** 0 when the kernel does not want it, as on a file system that is stacked too deep. */
int32_t Session::Lend(int fd) {
  fuse::BackingMap map{fd, 0, 0};
  const int backing = ioctl(options_.device, kBackingOpen, &map);
  if (backing > 0) return backing;
  // Without the right to, there is no use in asking again; opens then go on as they were.
  if (errno == EPERM) passthrough_lost_ = true;
  return 0;
}
