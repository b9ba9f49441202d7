// The class FuseSession: a session's requests to JavaScript, and the answers back.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "../common/share.h"
#include "addon.h"
#include "entries.h"
#include "inode_table.h"
#include "session.h"

namespace {

/** Calls the thread of JavaScript, until nobody listens there any more. */
class Waker : public std::enable_shared_from_this<Waker> {
 public:
  explicit Waker(std::function<void(Napi::Env)> deliver) : deliver_(std::move(deliver)) {}

  void Open(Napi::Env env) {
    Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
    auto gone = [self = shared_from_this()](Napi::Env) { self->Forget(); };
    function_ = Napi::ThreadSafeFunction::New(env, nothing, "fuse", 0, 1, gone);
    open_ = true;
  }

  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!open_) return;
    auto call = [self = shared_from_this()](Napi::Env env, Napi::Function) { self->deliver_(env); };
    if (function_.NonBlockingCall(call) == napi_closing) open_ = false;
  }

  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(open_, false)) function_.Release();
  }

 private:
  /** JavaScript ends, and takes the function away. */
  void Forget() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
  }

  const std::function<void(Napi::Env)> deliver_;
  std::mutex mutex_;
  Napi::ThreadSafeFunction function_;
  bool open_ = false;
};

uint64_t NumberOf(Napi::Value value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }

Entry EntryIn(Napi::Env env, Napi::Value given) {
  Napi::Buffer<uint8_t> bytes = given.As<Napi::Buffer<uint8_t>>();
  Entry entry;
  if (!EntryReader(bytes.Data(), bytes.Length()).Next(&entry)) throw Napi::TypeError::New(env, "not an entry");
  return entry;
}

class FuseSession : public Napi::ObjectWrap<FuseSession> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "FuseSession",
                       {
                           InstanceMethod<&FuseSession::ReplyError>("replyError"),
                           InstanceMethod<&FuseSession::ReplyEntry>("replyEntry"),
                           InstanceMethod<&FuseSession::ReplyDirectory>("replyDirectory"),
                           InstanceMethod<&FuseSession::ReplyLeaf>("replyLeaf"),
                           InstanceMethod<&FuseSession::KeepLeaf>("keepLeaf"),
                           InstanceMethod<&FuseSession::KeepChunk>("keepChunk"),
                           InstanceMethod<&FuseSession::ReplyKept>("replyKept"),
                           InstanceMethod<&FuseSession::ReplyBytes>("replyBytes"),
                           InstanceMethod<&FuseSession::ReplyPieces>("replyPieces"),
                           InstanceMethod<&FuseSession::ReplyLocal>("replyLocal"),
                           InstanceMethod<&FuseSession::ReplyOpen>("replyOpen"),
                           InstanceMethod<&FuseSession::Attach>("attach"),
                           InstanceMethod<&FuseSession::IsAttached>("isAttached"),
                           InstanceMethod<&FuseSession::Detach>("detach"),
                           InstanceMethod<&FuseSession::SetMark>("setMark"),
                           InstanceMethod<&FuseSession::NodeOf>("node"),
                           InstanceMethod<&FuseSession::CountersOf>("counters"),
                       });
  }

  explicit FuseSession(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FuseSession>(info) {
    Napi::Env env = info.Env();
    Napi::Object given = info[0].As<Napi::Object>(), handlers = info[1].As<Napi::Object>();
    auto number = [&](const char* name) { return given.Get(name).As<Napi::Number>(); };
    Options options{number("device").Int32Value(), number("uid").Uint32Value(), number("gid").Uint32Value(),
                    NumberOf(given.Get("totalBytes")), NumberOf(given.Get("totalFiles")),
                    number("stackDepth").Uint32Value()};
    table_ = Guarded(env, [&] { return std::make_shared<InodeTable>(number("table").Int32Value()); });
    Entry root = EntryIn(env, given.Get("root"));
    root.node.parent = fuse::kRootIno;
    table_->SetRoot(root.node);
    on_requests_ = Napi::Persistent(handlers.Get("requests").As<Napi::Function>());
    on_ready_ = Napi::Persistent(handlers.Get("ready").As<Napi::Function>());
    on_progress_ = Napi::Persistent(handlers.Get("progress").As<Napi::Function>());
    on_end_ = Napi::Persistent(handlers.Get("end").As<Napi::Function>());
    no_name_ = Napi::Persistent(Napi::Buffer<uint8_t>::New(env, 0).As<Napi::Object>());
    // Never collected: the threads write from memory that it holds.
    self_ = Napi::Persistent(info.This().As<Napi::Object>());
    waker_ = std::make_shared<Waker>([this](Napi::Env env) { Deliver(env); });
    waker_->Open(env);
    session_ = std::make_shared<Session>(options, table_, [waker = waker_] { waker->Wake(); });
    Guarded(env, [&] { session_->Start(); });
    if (session_->Ready()) waker_->Wake();
  }

  /** At the end of the process. Threads that wait in the kernel stay, and with them the session. */
  ~FuseSession() override {
    if (!session_) return;
    waker_->Close();
    session_->CloseReplies();
  }

 private:
  void Deliver(Napi::Env env) {
    if (told_end_) return;
    Napi::HandleScope scope(env);
    for (uint64_t tag : session_->DrainWritten()) held_.erase(tag);
    if (!told_ready_ && session_->Ready()) {
      told_ready_ = true;
      on_ready_.Call({});
    }
    for (const Progress& progress : session_->DrainProgress()) {
      on_progress_.Call({Napi::Number::New(env, static_cast<double>(progress.ino)), Napi::Number::New(env, static_cast<double>(progress.offset))});
    }
    std::vector<Request> batch = session_->Drain();
    if (!batch.empty()) {
      Napi::Array list = Napi::Array::New(env, batch.size());
      for (uint32_t i = 0; i < batch.size(); ++i) list.Set(i, ObjectOf(env, batch[i]));
      on_requests_.Call({list});
    }
    int error = 0;
    if (session_->Ended(&error)) {
      told_end_ = true;
      waker_->Close();
      on_end_.Call({error == 0 ? env.Undefined() : ErrorOf(env, error, "").Value()});
    }
  }

  Napi::Object ObjectOf(Napi::Env env, const Request& request) {
    Napi::Object made = Napi::Object::New(env);
    made.Set("opcode", request.opcode);
    made.Set("id", static_cast<double>(request.id));
    made.Set("ino", static_cast<double>(request.ino));
    made.Set("offset", static_cast<double>(request.offset));
    made.Set("size", request.size);
    made.Set("tries", request.tries);
    if (request.name.empty()) {
      made.Set("name", no_name_.Value());
    } else {
      const uint8_t* name = reinterpret_cast<const uint8_t*>(request.name.data());
      made.Set("name", Napi::Buffer<uint8_t>::Copy(env, name, request.name.size()));
    }
    return made;
  }

  void ReplyError(const Napi::CallbackInfo& info) {
    session_->ReplyError(NumberOf(info[0]), info[1].As<Napi::Number>().Int32Value());
  }

  void ReplyEntry(const Napi::CallbackInfo& info) {
    if (!info[2].IsBuffer()) return session_->ReplyEntry(NumberOf(info[0]), nullptr);
    Entry entry = EntryIn(info.Env(), info[2]);
    entry.node.parent = NumberOf(info[1]);
    session_->ReplyEntry(NumberOf(info[0]), &entry.node);
  }

  static std::string NameIn(Napi::Object request) {
    Napi::Buffer<char> name = request.Get("name").As<Napi::Buffer<char>>();
    return std::string(name.Data(), name.Length());
  }

  /** A request as JavaScript hands it back. */
  static Request RequestIn(Napi::Value given) {
    Napi::Object asked = given.As<Napi::Object>();
    auto number = [&](const char* name) { return NumberOf(asked.Get(name)); };
    return {static_cast<uint32_t>(number("opcode")), static_cast<uint32_t>(number("size")), number("id"),
            number("ino"), number("offset"), NameIn(asked), static_cast<uint32_t>(number("tries"))};
  }

  uint64_t ParentOf(uint64_t ino) {
    Node node{};
    table_->Get(ino, &node);
    return node.parent;
  }

  void ReplyDirectory(const Napi::CallbackInfo& info) {
    Request request = RequestIn(info[0]);
    Napi::Buffer<uint8_t> entries = info[1].As<Napi::Buffer<uint8_t>>();
    session_->ReplyDirectory(request, ParentOf(request.ino), entries.Data(), entries.Length());
  }

  Napi::Value ReplyLeaf(const Napi::CallbackInfo& info) {
    Request request = RequestIn(info[0]);
    Napi::Buffer<uint8_t> leaf = info[1].As<Napi::Buffer<uint8_t>>();
    const bool done = session_->ReplyLeaf(request, ParentOf(request.ino), leaf.Data(), leaf.Length(), NumberOf(info[2]));
    return Napi::Boolean::New(info.Env(), done);
  }

  Napi::Value KeepLeaf(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> hash = info[0].As<Napi::Buffer<uint8_t>>(), leaf = info[1].As<Napi::Buffer<uint8_t>>();
    const bool kept = hash.Length() == 32 && session_->KeepLeaf(hash.Data(), leaf.Data(), leaf.Length());
    return Napi::Boolean::New(info.Env(), kept);
  }

  void KeepChunk(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> hash = info[0].As<Napi::Buffer<uint8_t>>(), bytes = info[1].As<Napi::Buffer<uint8_t>>();
    if (hash.Length() == 32) session_->KeepChunk(hash.Data(), bytes.Data(), bytes.Length());
  }

  Napi::Value ReplyKept(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->ReplyKept(RequestIn(info[0])));
  }

  void ReplyLocal(const Napi::CallbackInfo& info) { session_->ReplyLocal(RequestIn(info[0])); }

  void ReplyOpen(const Napi::CallbackInfo& info) { session_->ReplyOpen(NumberOf(info[0]), NumberOf(info[1])); }

  void Attach(const Napi::CallbackInfo& info) {
    Napi::Object local = info[1].As<Napi::Object>();
    const std::shared_ptr<CacheFile> file = SharedCacheFile(local.Get("file"));
    if (!file) throw ErrorOf(info.Env(), EBADF, "attach: the file is closed");
    Napi::Buffer<uint8_t> hash = local.Get("hash").As<Napi::Buffer<uint8_t>>();
    if (hash.Length() != sizeof(Node::hash)) throw ErrorOf(info.Env(), EINVAL, "attach: hash");
    session_->Attach(NumberOf(info[0]), file, hash.Data());
  }

  Napi::Value IsAttached(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->IsAttached(NumberOf(info[0])));
  }

  void Detach(const Napi::CallbackInfo& info) { session_->Detach(NumberOf(info[0])); }

  void SetMark(const Napi::CallbackInfo& info) { session_->SetMark(NumberOf(info[0]), NumberOf(info[1])); }

  void ReplyBytes(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> bytes = info[1].As<Napi::Buffer<uint8_t>>();
    session_->ReplyBytes(NumberOf(info[0]), bytes.Data(), bytes.Length());
  }

  void ReplyPieces(const Napi::CallbackInfo& info) {
    Napi::Array given = info[1].As<Napi::Array>();
    std::vector<Piece> pieces;
    for (uint32_t i = 0; i < given.Length(); ++i) {
      Napi::Object piece = given.Get(i).As<Napi::Object>();
      Napi::Value bytes = piece.Get("bytes"), fd = piece.Get("fd");
      if (bytes.IsBuffer()) {
        Napi::Buffer<uint8_t> buffer = bytes.As<Napi::Buffer<uint8_t>>();
        if (buffer.Length() > 0) pieces.push_back({buffer.Data(), -1, 0, buffer.Length()});
      } else if (fd.IsNumber()) {
        pieces.push_back({nullptr, OwnFile(info.Env(), fd, pieces), NumberOf(piece.Get("offset")), NumberOf(piece.Get("length"))});
      } else {
        pieces.push_back({nullptr, -1, 0, NumberOf(piece.Get("length"))});
      }
    }
    uint64_t tag = next_tag_++;
    // The bytes are written by another thread: hold them until it says so.
    held_.emplace(tag, Napi::Persistent(info[1].As<Napi::Object>()));
    session_->ReplyPieces(NumberOf(info[0]), std::move(pieces), tag);
  }

  /** A descriptor of the reply's own: the caller may close his as soon as he has handed it over. */
  static int OwnFile(Napi::Env env, Napi::Value fd, const std::vector<Piece>& before) {
    int own = fcntl(fd.As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (own >= 0) return own;
    int error = errno;
    for (const Piece& piece : before) {
      if (piece.fd >= 0) close(piece.fd);
    }
    throw ErrorOf(env, error, "");
  }

  Napi::Value NodeOf(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Node node;
    if (!table_->Get(NumberOf(info[0]), &node)) return env.Undefined();
    Napi::Object made = Napi::Object::New(env);
    made.Set("ino", info[0]);
    made.Set("parent", static_cast<double>(node.parent));
    made.Set("ordinal", static_cast<double>(node.ordinal));
    made.Set("kind", node.kind);
    made.Set("executable", node.executable != 0);
    made.Set("size", static_cast<double>(node.size));
    made.Set("mtimeSeconds", static_cast<double>(node.mtime_seconds));
    made.Set("mtimeNanoseconds", node.mtime_nanoseconds);
    made.Set("ref", node.ref);
    made.Set("place", node.place != 0);
    made.Set("hash", Napi::Buffer<uint8_t>::Copy(env, node.hash, sizeof node.hash));
    made.Set("pack", Napi::Buffer<uint8_t>::Copy(env, node.pack, sizeof node.pack));
    made.Set("placeOffset", node.place_offset);
    made.Set("placeLength", node.place_length);
    return made;
  }

  Napi::Value CountersOf(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Napi::Object made = Napi::Object::New(env);
    Napi::Array requests = Napi::Array::New(env);
    Counters& counters = session_->counters;
    for (uint32_t i = 0; i < counters.requests.size(); ++i) requests.Set(i, static_cast<double>(counters.requests[i]));
    made.Set("requests", requests);
    made.Set("replies", static_cast<double>(counters.replies));
    made.Set("replyErrors", static_cast<double>(counters.reply_errors));
    made.Set("interrupts", static_cast<double>(counters.interrupts));
    made.Set("bytesRead", static_cast<double>(counters.bytes_read));
    made.Set("localReads", static_cast<double>(counters.local_reads));
    made.Set("keptAnswers", static_cast<double>(counters.kept_answers));
    made.Set("damagedReads", static_cast<double>(counters.damaged_reads));
    made.Set("passthroughOpens", static_cast<double>(counters.passthrough_opens));
    made.Set("passthrough", session_->Lends());
    made.Set("ringMax", static_cast<double>(counters.ring_max));
    made.Set("inodes", static_cast<double>(table_->Count()));
    return made;
  }

  std::shared_ptr<InodeTable> table_;
  std::shared_ptr<Waker> waker_;
  std::shared_ptr<Session> session_;
  Napi::FunctionReference on_requests_, on_ready_, on_progress_, on_end_;
  Napi::ObjectReference no_name_, self_;
  std::map<uint64_t, Napi::ObjectReference> held_;
  uint64_t next_tag_ = 1;
  bool told_ready_ = false, told_end_ = false;
};

}  // namespace

Napi::Function DefineSession(Napi::Env env) { return FuseSession::Define(env); }
