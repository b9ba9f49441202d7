// The native threads of a mount under load, for the thread sanitizer (Node itself does not run under
// it): a session of native/fuse with its reading, writing and interrupting threads, and the fetching
// threads of native/fetch that fill the files which reads are answered from. This program is the
// kernel on one side, several askers at once, and JavaScript on the other: one thread that takes
// requests and replies in all the ways there are. What is read is compared.
// Usage: threads FOLDER SECONDS; ends with 0 when all was right.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "../data/errors.h"
#include "../fetch/fetch.h"
#include "../fuse/entries.h"
#include "../fuse/session.h"

// data/errors.cc is for JavaScript.
SystemError::SystemError(int error, const char* call)
    : std::runtime_error(std::strerror(error)), code(std::to_string(error)), syscall(call) {}

namespace {

using Random = std::minstd_rand;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kFiles = 48, kLargeFiles = 4, kAskers = 6;
constexpr uint64_t kChunk = 200'000;  // does not end with a block
constexpr uint32_t kReadMax = 60'000;  // what a socket takes at once

std::atomic<bool> failed{false};

void Fail(const char* what) {
  std::fprintf(stderr, "threads: %s\n", what);
  failed = true;
}

uint64_t SizeOf(uint64_t file) { return file < kLargeFiles ? 3'000'000 + file : 500 + file; }
uint8_t ByteOf(uint64_t file, uint64_t at) { return static_cast<uint8_t>(file * 31 + at * 7 + at / 4096); }

std::vector<uint8_t> BytesOf(uint64_t file, uint64_t from, uint64_t to) {
  std::vector<uint8_t> bytes;
  for (uint64_t at = from; at < to; ++at) bytes.push_back(ByteOf(file, at));
  return bytes;
}

void HashInto(uint64_t file, uint8_t* hash) { std::memset(hash, static_cast<int>(file + 1), 32); }

std::string NameOf(uint64_t file) {
  char name[8];
  std::snprintf(name, sizeof name, "f%03u", static_cast<unsigned>(file));
  return name;
}

Node NodeOf(uint64_t file) {
  Node node{};
  node.parent = fuse::kRootIno;
  node.ordinal = file;
  node.size = SizeOf(file);
  node.ref = file < kLargeFiles ? 2 : 1;
  HashInto(file, node.hash);
  return node;
}

Node Root() {
  Node node{};
  node.parent = fuse::kRootIno;
  node.kind = 1;
  node.ref = 2;
  std::memset(node.hash, 200, sizeof node.hash);
  return node;
}

void PutVarint(std::vector<uint8_t>* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<uint8_t>(value | 0x80));
  out->push_back(static_cast<uint8_t>(value));
}

/** The directory as a stored leaf (FORMAT.md section 5). */
std::vector<uint8_t> Leaf() {
  std::vector<uint8_t> out{1, 2, 0}, body;
  PutVarint(&out, kFiles);
  PutVarint(&body, kFiles);
  std::string last;
  for (uint32_t file = 0; file < kFiles; ++file) {
    uint8_t hash[32];
    HashInto(file, hash);
    out.push_back(file < kLargeFiles ? 1 : 0);
    out.insert(out.end(), hash, hash + sizeof hash);
    const std::string name = NameOf(file);
    size_t shared = 0;
    while (shared < last.size() && last[shared] == name[shared]) shared += 1;
    PutVarint(&body, shared);
    PutVarint(&body, name.size() - shared);
    body.insert(body.end(), name.begin() + static_cast<long>(shared), name.end());
    body.insert(body.end(), {static_cast<uint8_t>(file < kLargeFiles ? 16 : 8), 0, 0});
    PutVarint(&body, SizeOf(file));
    last = name;
  }
  PutVarint(&out, body.size());
  out.insert(out.end(), body.begin(), body.end());
  out.insert(out.end(), kFiles + 1, 0);  // no packs
  return out;
}

/** The directory as JavaScript hands entries over. */
std::vector<uint8_t> Entries(uint64_t from) {
  std::vector<uint8_t> out;
  for (uint64_t file = from; file < kFiles; ++file) {
    const Node node = NodeOf(file);
    const std::string name = NameOf(file);
    uint8_t head[EntryReader::kHeadBytes] = {};
    const double numbers[3] = {static_cast<double>(file), static_cast<double>(node.size), 0};
    std::memcpy(head, numbers, sizeof numbers);
    head[30] = node.ref;
    std::memcpy(head + 32, node.hash, 32);
    head[88] = static_cast<uint8_t>(name.size());
    out.insert(out.end(), head, head + sizeof head);
    out.insert(out.end(), name.begin(), name.end());
  }
  return out;
}

/** Large files: where they are stored, and the files of the cache that they fill. */
class Files {
 public:
  explicit Files(std::string folder) : folder_(std::move(folder)), fetcher_(std::make_shared<Fetcher>(4)) {
    for (uint64_t file = 0; file < kLargeFiles; ++file) {
      std::vector<uint8_t> pack;
      for (uint64_t at = 0; at < SizeOf(file); at += kChunk) {
        const std::vector<uint8_t> plain = BytesOf(file, at, std::min(at + kChunk, SizeOf(file)));
        hashes_[file].push_back(HashOf(Domain::kPlain, plain.data(), plain.size()));
        pack.push_back(0);
        pack.insert(pack.end(), plain.begin(), plain.end());
      }
      std::FILE* out = std::fopen(PackOf(file).c_str(), "w");
      if (out == nullptr || std::fwrite(pack.data(), 1, pack.size(), out) != pack.size()) std::abort();
      std::fclose(out);
      files_[file] = Open(file);
    }
  }
  ~Files() { fetcher_->Close(); }

  /** Another one over the same bytes, as another addon has it. */
  std::shared_ptr<CacheFile> Open(uint64_t file) {
    const std::string path = folder_ + "/" + NameOf(file);
    const int data = open(path.c_str(), O_RDWR | O_CREAT, 0600), sums = open((path + ".sums").c_str(), O_RDWR | O_CREAT, 0600);
    auto made = std::make_shared<CacheFile>(data, sums, SizeOf(file), CacheFile::Boot{});
    close(data), close(sums);
    return made;
  }
  CacheFile& Of(uint64_t file) { return *files_[file]; }

  /** Fetches the chunks that a range has bytes of; `done` is called by another thread. */
  void Fetch(uint64_t file, uint64_t from, uint64_t to, std::function<void()> done) {
    Transfer transfer;
    transfer.path = PackOf(file);
    transfer.file = files_[file];
    transfer.timeout_seconds = 5;
    // With their neighbours: a block that two share is there when both are.
    const uint64_t last = (SizeOf(file) - 1) / kChunk;
    for (uint64_t chunk = from / kChunk - (from >= kChunk); chunk <= std::min(last, (to - 1) / kChunk + 1); ++chunk) {
      const uint32_t length = static_cast<uint32_t>(std::min(kChunk, SizeOf(file) - chunk * kChunk));
      transfer.pieces.push_back({chunk * (kChunk + 1), length + 1, length, chunk * kChunk, hashes_[file][chunk], chunk == 0, chunk == last});
    }
    transfer.begun = [] {};
    transfer.landed = [](size_t) {};
    transfer.ended = [done = std::move(done)](size_t, uint64_t, const std::string& failure) {
      if (!failure.empty()) Fail(failure.c_str());
      done();
    };
    fetcher_->Add(std::move(transfer), from % 2 == 0);
  }

 private:
  std::string PackOf(uint64_t file) const { return folder_ + "/pack" + std::to_string(file); }

  const std::string folder_;
  std::shared_ptr<Fetcher> fetcher_;
  std::map<uint64_t, std::vector<Hash>> hashes_;
  std::map<uint64_t, std::shared_ptr<CacheFile>> files_;
};

/** What JavaScript does: one thread, woken, that takes requests and replies. */
class Script {
 public:
  Script(Files* files, std::shared_ptr<InodeTable> table) : files_(files), table_(std::move(table)), leaf_(Leaf()) {}

  void Run(int device) {
    Options options{device, 0, 0, 1 << 20, kFiles, true};
    session_ = std::make_shared<Session>(options, table_, [this] { Wake(); });
    session_->Start();
    int error = 0;
    while (!session_->Ended(&error)) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        woken_.wait_for(lock, std::chrono::milliseconds(50), [this] { return is_woken_; });
        is_woken_ = false;
      }
      Deliver();
    }
    const Counters& counters = session_->counters;
    if (counters.local_reads == 0 || counters.kept_answers == 0 || counters.interrupts == 0) Fail("not all ways were taken");
    session_->CloseReplies();
    // Those that fetch may still wake it.
    std::weak_ptr<Session> gone = session_;
    session_.reset();
    while (!gone.expired()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (error != 0) Fail("the session ended with an error");
  }

 private:
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    is_woken_ = true;
    woken_.notify_one();
  }

  void Deliver() {
    for (uint64_t tag : session_->DrainWritten()) held_.erase(tag);
    for (const Progress& progress : session_->DrainProgress()) session_->SetMark(progress.ino, progress.offset + 500'000);
    if (session_->counters.reply_errors != 0) Fail("a reply was refused");
    std::vector<Request> batch = session_->Drain(), filled;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      filled.swap(filled_);
    }
    for (Request& request : batch) Answer(std::move(request));
    for (Request& request : filled) session_->ReplyLocal(std::move(request));
    if (random_() % 64 == 0) session_->Detach(2 + random_() % kFiles);
    if (random_() % 64 == 0) files_->Of(random_() % kLargeFiles).Drop(random_() % 2'900'000, 9'000);
    if (random_() % 256 == 0) table_->Count();
  }

  void Answer(Request request) {
    Node node;
    if (!table_->Get(request.ino, &node)) return session_->ReplyError(request.id, ESTALE);
    switch (request.opcode) {
      case fuse::kLookup: {
        if (IsKept(request)) return;
        const uint64_t file = static_cast<uint64_t>(std::atoi(request.name.c_str() + 1));
        const Node found = NodeOf(file);
        return session_->ReplyEntry(request.id, file < kFiles ? &found : nullptr);
      }
      case fuse::kReaddir:
      case fuse::kReaddirplus: {
        if (IsKept(request)) return;
        if (random_() % 2 == 0 && session_->ReplyLeaf(request, fuse::kRootIno, leaf_.data(), leaf_.size(), 0)) return;
        const std::vector<uint8_t> entries = Entries(request.offset < 2 ? 0 : request.offset - 2);
        return session_->ReplyDirectory(request, fuse::kRootIno, entries.data(), entries.size());
      }
      case fuse::kOpen:
        Attach(request.ino, node);
        return session_->ReplyOpen(request.id, request.ino);
      case fuse::kRead:
        return Read(std::move(request), node);
      default:
        return session_->ReplyBytes(request.id, "value", 5);
    }
  }

  /** The leaf is kept late, so that the other ways come first. */
  bool IsKept(const Request& request) {
    if (++asked_ < 200) return false;
    return session_->KeepLeaf(Root().hash, leaf_.data(), leaf_.size()) && session_->ReplyKept(request);
  }

  void Attach(uint64_t ino, const Node& node) {
    if (node.ordinal >= kLargeFiles || session_->IsAttached(ino)) return;
    session_->Attach(ino, files_->Open(node.ordinal), node.hash);
    session_->SetMark(ino, 100'000);
  }

  void Read(Request request, const Node& node) {
    const uint64_t file = node.ordinal, end = std::min<uint64_t>(node.size, request.offset + request.size);
    if (request.offset >= end) return session_->ReplyPieces(request.id, {}, 0);
    if (file < kLargeFiles && request.tries < 3) {
      Attach(request.ino, node);
      const uint64_t from = request.offset;
      return files_->Fetch(file, from, end, [this, request = std::move(request)] {
        {
          std::lock_guard<std::mutex> lock(mutex_);
          filled_.push_back(request);
        }
        Wake();
      });
    }
    const uint64_t tag = next_tag_++;
    const std::vector<uint8_t>& bytes = held_[tag] = BytesOf(file, request.offset, end);
    if (file >= kLargeFiles && request.offset == 0 && bytes.size() == node.size && random_() % 8 == 0) {
      session_->KeepChunk(node.hash, bytes.data(), bytes.size());
    }
    session_->ReplyPieces(request.id, {{bytes.data(), -1, 0, bytes.size()}}, tag);
  }

  Files* const files_;
  const std::shared_ptr<InodeTable> table_;
  const std::vector<uint8_t> leaf_;
  std::shared_ptr<Session> session_;
  std::map<uint64_t, std::vector<uint8_t>> held_;
  Random random_{1};
  uint64_t next_tag_ = 1, asked_ = 0;
  std::mutex mutex_;
  std::condition_variable woken_;
  std::vector<Request> filled_;
  bool is_woken_ = false;
};

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
    if (opened.error != 0) return Fail("open");
    std::memcpy(&open, opened.body.data(), sizeof open);
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

/** Mounts, serves, unmounts; a second time with the table of the first. */
void Serve(Script* script, bool first, Clock::time_point end, unsigned seed) {
  Kernel kernel;
  std::thread serving([&] { script->Run(kernel.device()); });
  if (first) {
    fuse::InitIn in{7, 45, 1 << 17, 0x73fffffb, 0x5fd, {}};
    if (kernel.Ask(fuse::kInit, 0, in).error != 0) Fail("init");
  }
  std::vector<std::thread> askers;
  for (unsigned i = 0; i < kAskers; ++i) {
    askers.emplace_back([&kernel, end, seed, i] { Asker(&kernel, seed + i).Run(end); });
  }
  for (std::thread& asker : askers) asker.join();
  kernel.Unmount();
  serving.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto half = std::chrono::milliseconds(500 * std::atoi(argv[2]));
  Files files(argv[1]);
  const int fd = InodeTable::CreateFile();
  for (unsigned turn = 0; turn < 2 && !failed; ++turn) {
    auto table = std::make_shared<InodeTable>(fd);
    if (turn == 0) table->SetRoot(Root());
    Script script(&files, table);
    Serve(&script, turn == 0, Clock::now() + half, 100 * (turn + 1));
  }
  close(fd);
  return failed ? 1 : 0;
}
