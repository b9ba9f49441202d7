// The kernel, and the processes that use the mount. What is read is compared.
#pragma once
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <set>
#include <thread>

#include "../../fuse/session.h"
#include "content.h"

namespace threads {

struct Reply {
  int error;
  std::vector<uint8_t> body;
};

/** The kernel's side of a connection. */
class Kernel {
 public:
  Kernel() {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends_) != 0) std::abort();
    receiver_ = std::thread([this] { Receive(); });
  }
  ~Kernel() {
    shutdown(ends_[0], SHUT_RDWR);
    receiver_.join();
    close(ends_[0]);
  }
  int device() const { return ends_[1]; }
  void Unmount() { shutdown(ends_[0], SHUT_WR); }

  /** Sends without waiting. */
  template <class Body>
  void Tell(uint32_t opcode, uint64_t unique, uint64_t ino, const Body& body, const std::string& name = {}, uint32_t pid = 0) {
    std::vector<uint8_t> bytes(sizeof(fuse::InHeader) + sizeof body);
    fuse::InHeader header{static_cast<uint32_t>(bytes.size() + (name.empty() ? 0 : name.size() + 1)), opcode, unique, ino, 0, 0, pid, 0, 0};
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, &body, sizeof body);
    // A lookup has nothing but its name.
    if (opcode == fuse::kLookup) bytes.resize(sizeof header), header.len -= sizeof body, std::memcpy(bytes.data(), &header, sizeof header);
    if (!name.empty()) bytes.insert(bytes.end(), name.c_str(), name.c_str() + name.size() + 1);
    if (send(ends_[0], bytes.data(), bytes.size(), 0) < 0) Fail("the session takes nothing");
  }

  template <class Body>
  Reply Ask(uint32_t opcode, uint64_t ino, const Body& body, const std::string& name = {}, bool interrupt = false) {
    const uint64_t unique = next_ += 2;
    // A process that is not there wants out.
    const uint32_t pid = interrupt ? 999'999'999 : static_cast<uint32_t>(getpid());
    Tell(opcode, unique, ino, body, name, pid);
    if (interrupt) Tell(fuse::kInterrupt, unique + 1, 0, unique);
    std::unique_lock<std::mutex> lock(mutex_);
    const bool came = came_.wait_for(lock, std::chrono::seconds(60), [&] { return replies_.count(unique) != 0; });
    if (!came) {
      Fail("no reply");
      return {EIO, {}};
    }
    Reply reply = std::move(replies_[unique]);
    replies_.erase(unique);
    answered_.insert(unique);
    return reply;
  }

 private:
  void Receive() {
    std::vector<uint8_t> buffer(1 << 21);
    for (;;) {
      const ssize_t got = recv(ends_[0], buffer.data(), buffer.size(), 0);
      if (got <= 0) return;
      fuse::OutHeader header;
      std::memcpy(&header, buffer.data(), sizeof header);
      std::lock_guard<std::mutex> lock(mutex_);
      // A request that was interrupted while it was answered may be answered twice; the kernel drops that.
      if (header.unique == 0 || answered_.count(header.unique) != 0) continue;
      replies_[header.unique] = {-header.error, {buffer.begin() + sizeof header, buffer.begin() + got}};
      came_.notify_all();
    }
  }

  int ends_[2];
  std::atomic<uint64_t> next_{2};
  std::thread receiver_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::map<uint64_t, Reply> replies_;
  std::set<uint64_t> answered_;
};

/** A process that uses the mount. */
class Asker {
 public:
  Asker(Kernel* kernel, unsigned seed) : kernel_(kernel), random_(seed) {}

  void Run(Clock::time_point end) {
    while (Clock::now() < end && !failed) Step();
    for (auto [ino, known] : known_) Forget(ino, known.lookups);
    known_.clear();
  }

 private:
  struct Known {
    uint64_t file, lookups;
  };

  void Step() {
    switch (random_() % 10) {
      case 0: return Lookup();
      case 1: return List(random_() % 2 == 0 ? fuse::kReaddirplus : fuse::kReaddir);
      case 2: return Other();
      case 3:
        if (known_.size() < kFiles / 2) return;
        Forget(known_.begin()->first, known_.begin()->second.lookups);
        known_.erase(known_.begin());
        return;
      default: return Read();
    }
  }

  void Lookup() {
    const uint64_t file = random_() % (kFiles + 2);
    const Reply reply = kernel_->Ask(fuse::kLookup, fuse::kRootIno, uint64_t{0}, NameOf(file), random_() % 16 == 0);
    if (reply.error == EINTR) return;
    if (reply.error != 0) return Fail("lookup");
    fuse::EntryOut entry;
    std::memcpy(&entry, reply.body.data(), sizeof entry);
    if ((entry.nodeid != 0) != (file < kFiles)) return Fail("another name was found");
    if (entry.nodeid != 0) Know(entry, file);
  }

  void Know(const fuse::EntryOut& entry, uint64_t file) {
    Known& known = known_.try_emplace(entry.nodeid, Known{file, 0}).first->second;
    known.lookups += 1;
    if (known.file != file || entry.attr.size != SizeOf(file)) Fail("another file is known by this number");
  }

  void List(uint32_t opcode) {
    fuse::ReadIn in{};
    in.size = 16'000;
    for (;;) {
      const Reply reply = kernel_->Ask(opcode, fuse::kRootIno, in);
      if (reply.error != 0) return Fail("readdir");
      if (reply.body.empty()) break;
      const size_t plus = opcode == fuse::kReaddirplus ? sizeof(fuse::EntryOut) : 0;
      for (size_t at = 0; at < reply.body.size();) {
        fuse::Dirent dirent;
        std::memcpy(&dirent, &reply.body[at + plus], sizeof dirent);
        fuse::EntryOut entry{};
        if (plus != 0) std::memcpy(&entry, &reply.body[at], sizeof entry);
        if (entry.nodeid != 0) Know(entry, dirent.off - 3);
        in.offset = dirent.off;
        at += plus + sizeof dirent + ((dirent.namelen + 7) & ~size_t{7});
      }
    }
    if (in.offset != kFiles + 2) Fail("names are missing");
  }

  void Read() {
    if (known_.empty()) return;
    auto it = known_.begin();
    std::advance(it, random_() % known_.size());
    const auto [ino, known] = *it;
    const Reply opened = kernel_->Ask(fuse::kOpen, ino, uint64_t{0});
    fuse::OpenOut open{};
    // ENOSYS: it is for the kernel to open files by itself.
    if (opened.error != 0 && opened.error != ENOSYS) return Fail("open");
    if (opened.error == 0) std::memcpy(&open, opened.body.data(), sizeof open);
    fuse::ReadIn in{};
    in.offset = random_() % SizeOf(known.file);
    for (int more = random_() % 6; more >= 0; --more) {
      in.size = 1 + random_() % kReadMax;
      const Reply reply = kernel_->Ask(fuse::kRead, ino, in, {}, random_() % 32 == 0);
      if (reply.error == EINTR) continue;
      const uint64_t end = std::min<uint64_t>(SizeOf(known.file), in.offset + in.size);
      if (reply.error != 0 || reply.body != BytesOf(known.file, in.offset, std::max(end, in.offset))) Fail("other bytes were read");
      in.offset = end;
    }
    if (open.fh == kCounted) kernel_->Ask(fuse::kRelease, ino, fuse::ReleaseIn{open.fh, 0, 0, 0});
  }

  void Other() {
    const uint64_t ino = known_.empty() ? fuse::kRootIno : known_.rbegin()->first;
    if (kernel_->Ask(fuse::kGetattr, ino, fuse::GetxattrIn{}).error != 0) Fail("getattr");
    if (kernel_->Ask(fuse::kStatfs, ino, fuse::GetxattrIn{}).error != 0) Fail("statfs");
    if (kernel_->Ask(fuse::kGetxattr, ino, fuse::GetxattrIn{64, 0}, "user.x").error != 0) Fail("getxattr");
  }

  void Forget(uint64_t ino, uint64_t lookups) { kernel_->Tell(fuse::kForget, 1, ino, lookups); }

  Kernel* const kernel_;
  Random random_;
  std::map<uint64_t, Known> known_;
};

}  // namespace threads
