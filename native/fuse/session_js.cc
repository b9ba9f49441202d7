// The class FuseSession: a session's requests to JavaScript, and the answers back. All of it runs in
// the thread of JavaScript.
#include <cerrno>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "../common/share.h"
#include "addon.h"
#include "session.h"
#include "values_js.h"
#include "waker.h"

namespace {

class FuseSession : public Napi::ObjectWrap<FuseSession> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "FuseSession",
                       {
                           InstanceMethod<&FuseSession::ReplyError>("replyError"),
                           InstanceMethod<&FuseSession::ReplyEntry>("replyEntry"),
                           InstanceMethod<&FuseSession::ReplyRoot>("replyRoot"),
                           InstanceMethod<&FuseSession::ReplyDirectory>("replyDirectory"),
                           InstanceMethod<&FuseSession::ReplyLeaf>("replyLeaf"),
                           InstanceMethod<&FuseSession::KeepLeaf>("keepLeaf"),
                           InstanceMethod<&FuseSession::KeepChunk>("keepChunk"),
                           InstanceMethod<&FuseSession::Watch>("watch"),
                           InstanceMethod<&FuseSession::Hear>("hear"),
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
    shares_files_ = given.Get("sharesFiles").ToBoolean();
    const Entry root = RootIn(env, given.Get("root"));
    Options options{number("device").Int32Value(), number("uid").Uint32Value(), number("gid").Uint32Value(),
                    NumberOf(given.Get("totalBytes")), NumberOf(given.Get("totalFiles")),
                    number("stackDepth").Uint32Value(), root.valid_ms < kValidForEver};
    if (const Napi::Value blobs = given.Get("blobs"); blobs.IsObject()) {
      const bool whole = blobs.As<Napi::Object>().Get("whole").ToBoolean();
      options.blobs_form = whole ? StoredBlobs::Form::kPacks : StoredBlobs::Form::kExtents;
      options.blobs_folder = blobs.As<Napi::Object>().Get("folder").As<Napi::String>();
    }
    table_ = Guarded(env, [&] { return std::make_shared<InodeTable>(number("table").Int32Value()); });
    table_->SetRoot(root.node);
    on_requests_ = Napi::Persistent(handlers.Get("requests").As<Napi::Function>());
    on_ready_ = Napi::Persistent(handlers.Get("ready").As<Napi::Function>());
    on_progress_ = Napi::Persistent(handlers.Get("progress").As<Napi::Function>());
    on_met_ = Napi::Persistent(handlers.Get("met").As<Napi::Function>());
    on_end_ = Napi::Persistent(handlers.Get("end").As<Napi::Function>());
    no_name_ = Napi::Persistent(Napi::Buffer<uint8_t>::New(env, 0).As<Napi::Object>());
    // Keeps this object from being collected: threads write from memory that it holds.
    self_ = Napi::Persistent(info.This().As<Napi::Object>());
    waker_ = std::make_shared<Waker>([this](Napi::Env env) { Deliver(env); });
    waker_->Open(env);
    session_ = std::make_shared<Session>(options, table_, [waker = waker_] { waker->Wake(); });
    Guarded(env, [&] { session_->Start(); });
  }

  /** Runs at the end of the process. Threads that wait in the kernel stay, and with them the session. */
  ~FuseSession() override {
    if (!session_) return;
    waker_->Close();
    session_->CloseReplies();
  }

 private:
  void Deliver(Napi::Env env) {
    if (told_end_) return;
    Napi::HandleScope scope(env);
    for (uint64_t tag : session_->writers().DrainWritten()) held_.erase(tag);
    if (!told_ready_ && session_->Ready()) {
      told_ready_ = true;
      on_ready_.Call({});
    }
    for (const Progress& progress : session_->files().DrainProgress()) {
      on_progress_.Call({Napi::Number::New(env, static_cast<double>(progress.ino)), Napi::Number::New(env, static_cast<double>(progress.offset))});
    }
    for (const KeptAnswers::Met& met : session_->kept().DrainMet()) {
      on_met_.Call({ObjectOf(env, met.request, no_name_.Value()), Napi::Boolean::New(env, met.watched)});
    }
    std::vector<Request> batch = session_->requests().Drain();
    if (!batch.empty()) {
      Napi::Array list = Napi::Array::New(env, batch.size());
      for (uint32_t i = 0; i < batch.size(); ++i) list.Set(i, ObjectOf(env, batch[i], no_name_.Value()));
      on_requests_.Call({list});
    }
    int error = 0;
    if (session_->Ended(&error)) {
      told_end_ = true;
      waker_->Close();
      on_end_.Call({error == 0 ? env.Undefined() : ErrorOf(env, error, "").Value()});
    }
  }

  void ReplyError(const Napi::CallbackInfo& info) {
    session_->ReplyError(NumberOf(info[0]), info[1].As<Napi::Number>().Int32Value());
  }

  void ReplyEntry(const Napi::CallbackInfo& info) {
    if (!info[2].IsBuffer()) {
      return session_->ReplyAbsent(NumberOf(info[0]), info[2].As<Napi::Number>().DoubleValue());
    }
    Entry entry = EntryIn(info.Env(), info[2]);
    entry.node.parent = NumberOf(info[1]);
    session_->ReplyEntry(NumberOf(info[0]), entry);
  }

  Entry RootIn(Napi::Env env, Napi::Value given) const {
    Entry root = EntryIn(env, given);
    root.node.parent = fuse::kRootIno;
    root.node.path = shares_files_ ? 1 : 0;
    return root;
  }

  void ReplyRoot(const Napi::CallbackInfo& info) {
    const Entry root = RootIn(info.Env(), info[1]);
    session_->ReplyRoot(NumberOf(info[0]), root.node, root.valid_ms);
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
    const bool kept = hash.Length() == 32 && session_->kept().KeepLeaf(hash.Data(), leaf.Data(), leaf.Length());
    return Napi::Boolean::New(info.Env(), kept);
  }

  void KeepChunk(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> hash = info[0].As<Napi::Buffer<uint8_t>>(), bytes = info[1].As<Napi::Buffer<uint8_t>>();
    if (hash.Length() == 32) session_->kept().KeepChunk(hash.Data(), bytes.Data(), bytes.Length());
  }

  void Watch(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> hash = info[0].As<Napi::Buffer<uint8_t>>();
    if (hash.Length() == 32) session_->kept().Watch(hash.Data());
  }

  void Hear(const Napi::CallbackInfo& info) { session_->kept().Hear(info[0].As<Napi::Number>().Uint32Value()); }

  Napi::Value ReplyKept(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->ReplyKept(RequestIn(info[0])));
  }

  void ReplyLocal(const Napi::CallbackInfo& info) { session_->writers().AddLocal(RequestIn(info[0])); }

  void ReplyOpen(const Napi::CallbackInfo& info) { session_->ReplyOpen(NumberOf(info[0]), NumberOf(info[1])); }

  void Attach(const Napi::CallbackInfo& info) {
    Napi::Object local = info[1].As<Napi::Object>();
    const std::shared_ptr<CacheFile> file = SharedCacheFile(local.Get("file"));
    if (!file) throw ErrorOf(info.Env(), EBADF, "attach: the file is closed");
    Napi::Buffer<uint8_t> hash = local.Get("hash").As<Napi::Buffer<uint8_t>>();
    if (hash.Length() != sizeof(Node::hash)) throw ErrorOf(info.Env(), EINVAL, "attach: hash");
    session_->files().Attach(NumberOf(info[0]), file, hash.Data());
  }

  Napi::Value IsAttached(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->files().IsAttached(NumberOf(info[0])));
  }

  void Detach(const Napi::CallbackInfo& info) { session_->files().Detach(NumberOf(info[0])); }

  void SetMark(const Napi::CallbackInfo& info) { session_->files().SetMark(NumberOf(info[0]), NumberOf(info[1])); }

  void ReplyBytes(const Napi::CallbackInfo& info) {
    Napi::Buffer<uint8_t> bytes = info[1].As<Napi::Buffer<uint8_t>>();
    session_->ReplyBytes(NumberOf(info[0]), bytes.Data(), bytes.Length());
  }

  void ReplyPieces(const Napi::CallbackInfo& info) {
    std::vector<Piece> pieces = PiecesIn(info.Env(), info[1].As<Napi::Array>());
    uint64_t tag = next_tag_++;
    // Another thread writes the bytes: they are held until that gives the tag back.
    held_.emplace(tag, Napi::Persistent(info[1].As<Napi::Object>()));
    session_->writers().Add(NumberOf(info[0]), std::move(pieces), tag);
  }

  Napi::Value NodeOf(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Node node, directory;
    uint64_t top = 0;
    if (!table_->Get(NumberOf(info[0]), &node, &directory, &top)) return env.Undefined();
    Napi::Object made = ObjectOf(env, info[0], node);
    made.Set("top", static_cast<double>(top));
    // Of content that the directory has or describes. Looked up with the node, which may be in another one soon.
    if (node.kind != 1 && node.ref != 1 && node.ref != 2) made.Set("directory", ObjectOf(env, made.Get("parent"), directory));
    return made;
  }

  Napi::Value CountersOf(const Napi::CallbackInfo& info) {
    Napi::Object made = ObjectOf(info.Env(), session_->counters);
    made.Set("passthrough", session_->opens().Lends());
    made.Set("inodes", static_cast<double>(table_->Count()));
    return made;
  }

  std::shared_ptr<InodeTable> table_;
  std::shared_ptr<Waker> waker_;
  std::shared_ptr<Session> session_;
  Napi::FunctionReference on_requests_, on_ready_, on_progress_, on_met_, on_end_;
  Napi::ObjectReference no_name_, self_;
  /** By tag: buffers that threads write from. */
  std::map<uint64_t, Napi::ObjectReference> held_;
  uint64_t next_tag_ = 1;
  /** What has one path and content in several versions is one inode. */
  bool shares_files_ = false;
  bool told_ready_ = false, told_end_ = false;
};

}  // namespace

Napi::Function DefineSession(Napi::Env env) { return FuseSession::Define(env); }
