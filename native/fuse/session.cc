#include "session.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <thread>
#include <utility>

namespace {

/** They also read from the disk. */
constexpr unsigned kReaders = 8;
constexpr unsigned kWriters = 2;
constexpr size_t kBufferBytes = fuse::kMaxWrite + 8192;

}  // namespace

Session::Session(const Options& options, std::shared_ptr<InodeTable> table, Wake wake)
    : options_(options),
      table_(std::move(table)),
      wake_(std::move(wake)),
      channel_(options.device, counters),
      requests_(counters, wake_),
      files_(*table_, channel_, counters, wake_),
      entries_(*table_, files_, channel_, options.uid, options.gid),
      blobs_(options.blobs_form, options.blobs_folder),
      kept_(*table_, entries_, channel_, blobs_, counters, wake_),
      opens_(*table_, files_, channel_, counters, {options.total_bytes, options.total_files, options.root_changes}),
      writers_(requests_, files_, kept_, channel_, counters, wake_),
      interrupts_(requests_, channel_) {}

void Session::Start() {
  uint32_t minor;
  uint64_t flags;
  if (table_->Negotiated(&minor, &flags)) {
    opens_.Keep();
    SetPassthrough((flags & fuse::kPassthrough) != 0);
    SetReady();
    if ((flags & fuse::kHasResend) != 0) channel_.Notify(fuse::kNotifyResend);
  }
  for (unsigned i = 0; i < kReaders; ++i) StartThread(&Session::ReadRequests);
  for (unsigned i = 0; i < kWriters; ++i) StartThread(&Session::WriteData);
  StartThread(&Session::WatchInterrupts);
}

/** All signals are blocked in it: they are for the threads of JavaScript. */
void Session::StartThread(void (Session::*run)()) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([self = shared_from_this(), run] { (self.get()->*run)(); }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Session::ReadRequests() {
  std::vector<uint8_t> buffer(kBufferBytes);
  for (;;) {
    ssize_t got = read(channel_.device(), buffer.data(), buffer.size());
    if (got > 0) {
      Handle(buffer.data(), static_cast<size_t>(got));
    } else if (got == 0) {
      return End(0);
    } else if (errno != EINTR && errno != EAGAIN && errno != ENOENT) {
      // ENOENT is a request that was taken back while it was copied, ENODEV the unmount.
      return End(errno == ENODEV ? 0 : errno);
    }
  }
}

void Session::SetPassthrough(bool agreed) {
  opens_.SetPassthrough(agreed);
  files_.SetLent(agreed);
}

void Session::SetReady() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ready_ = true;
  }
  wake_();
}

/** Each reading thread comes here; the first one counts. */
void Session::End(int error) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(ended_, true)) return;
    error_ = error;
  }
  interrupts_.Close();
  requests_.Close();
  wake_();
}

bool Session::Ready() {
  std::lock_guard<std::mutex> lock(mutex_);
  return ready_;
}

bool Session::Ended(int* error) {
  std::lock_guard<std::mutex> lock(mutex_);
  *error = error_;
  return ended_;
}

void Session::ReplyError(uint64_t id, int error) {
  if (const std::optional<uint64_t> unique = requests_.Take(id)) channel_.Send(*unique, error, nullptr, 0);
}

void Session::ReplyBytes(uint64_t id, const void* bytes, size_t length) {
  if (const std::optional<uint64_t> unique = requests_.Take(id)) channel_.Send(*unique, 0, bytes, length);
}

void Session::ReplyEntry(uint64_t id, const Entry& entry) {
  if (const std::optional<uint64_t> unique = requests_.Take(id)) entries_.SendEntry(*unique, entry);
}

void Session::ReplyAbsent(uint64_t id, double valid_ms) {
  if (const std::optional<uint64_t> unique = requests_.Take(id)) entries_.SendAbsent(*unique, valid_ms);
}

void Session::ReplyRoot(uint64_t id, const Node& root, double valid_ms) {
  const std::optional<uint64_t> unique = requests_.Take(id);
  if (!unique) return;
  table_->SetRoot(root);
  entries_.SendAttributes(*unique, fuse::kRootIno, root, valid_ms);
}

void Session::ReplyDirectory(const Request& request, uint64_t parent_ino, const uint8_t* entries, size_t length) {
  const std::optional<uint64_t> unique = requests_.Take(request.id);
  if (!unique) return;
  EntryReader reader(entries, length);
  entries_.SendDirectory(*unique, request, parent_ino, [&](Entry* entry) { return reader.Next(entry); });
}

bool Session::ReplyLeaf(const Request& request, uint64_t parent_ino, const uint8_t* bytes, size_t length, uint64_t first) {
  if (!IsSoundLeaf(bytes, length)) return false;
  const std::optional<uint64_t> unique = requests_.Take(request.id);
  if (unique) entries_.SendLeaf(*unique, request, parent_ino, bytes, length, first);
  return true;
}

bool Session::ReplyKept(const Request& request) {
  return kept_.AnswerKept(request, [&] { return requests_.Take(request.id); });
}

void Session::ReplyOpen(uint64_t id, uint64_t ino) {
  if (const std::optional<uint64_t> unique = requests_.Take(id)) opens_.Send(*unique, ino);
}
