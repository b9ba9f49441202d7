// The addon that fetches: the classes CacheFile and Fetcher. It is an addon of its own, because libcurl
// loads thirty libraries, for which most commands need not wait.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "../data/arguments.h"
#include "../data/slab.h"
#include "../data/task.h"
#include "../common/share.h"
#include "fetch.h"

namespace {

/** An array of exactly as many bytes. */
template <class Array>
Array ArrayArgument(Napi::Value value, const char* name) {
  const Bytes bytes = BytesArgument(value, name);
  Array array;
  if (bytes.length != sizeof array) throw Napi::TypeError::New(value.Env(), std::string(name) + " has another length");
  std::memcpy(array.data(), bytes.data, sizeof array);
  return array;
}

/** Runs `work`; what it throws becomes an Error with `code`. */
template <class Work>
auto Coded(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const std::system_error& error) {
    throw ToJs(env, std::make_exception_ptr(SystemError(error.code().value(), error.what())));
  }
}

/** What `work` throws as errors of a write to the disk. */
template <class Work>
auto OnDisk(const std::shared_ptr<CacheFile>& file, Work work) {
  if (!file) throw SystemError(EBADF, "fsync");
  try {
    return work();
  } catch (const std::system_error& error) {
    throw SystemError(error.code().value(), "fsync");
  }
}

class JsCacheFile : public Napi::ObjectWrap<JsCacheFile> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "CacheFile",
                       {
                           InstanceMethod<&JsCacheFile::PresentUntil>("presentUntil"),
                           InstanceMethod<&JsCacheFile::Has>("has"),
                           InstanceMethod<&JsCacheFile::Put>("put"),
                           InstanceMethod<&JsCacheFile::Read>("read"),
                           InstanceMethod<&JsCacheFile::Drop>("drop"),
                           InstanceMethod<&JsCacheFile::Claim>("claim"),
                           InstanceMethod<&JsCacheFile::Unclaim>("unclaim"),
                           InstanceMethod<&JsCacheFile::Whole>("whole"),
                           InstanceMethod<&JsCacheFile::Check>("check"),
                           InstanceMethod<&JsCacheFile::Sync>("sync"),
                           InstanceMethod<&JsCacheFile::Seal>("seal"),
                           InstanceMethod<&JsCacheFile::Sealed>("sealed"),
                           InstanceMethod<&JsCacheFile::Close>("close"),
                           InstanceAccessor<&JsCacheFile::Size>("size"),
                           InstanceAccessor<&JsCacheFile::Data>("data"),
                           InstanceAccessor<&JsCacheFile::Shared>("shared"),
                       });
  }

  explicit JsCacheFile(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsCacheFile>(info) {
    const int data = DescriptorArgument(info[0], "data"), sums = DescriptorArgument(info[1], "sums");
    const uint64_t size = info[2].IsUndefined() ? Coded(info.Env(), [&] { return CacheFile::SizeIn(sums); }) : CountArgument(info[2], "size");
    const auto content = ArrayArgument<CacheFile::Content>(info[3], "content");
    const auto boot = ArrayArgument<CacheFile::Boot>(info[4], "boot");
    file = Coded(info.Env(), [&] { return std::make_shared<CacheFile>(data, sums, size, content, boot); });
  }

  /** Null once it is closed: then no byte is there, and none can be put. */
  std::shared_ptr<CacheFile> file;

 private:
  void Close(const Napi::CallbackInfo&) { file.reset(); }

  Napi::Value Size(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), file ? static_cast<double>(file->size()) : 0);
  }

  Napi::Value Data(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), file ? file->data() : -1); }

  Napi::Value Shared(const Napi::CallbackInfo& info) { return ShareCacheFile(info.Env(), file); }

  Napi::Value PresentUntil(const Napi::CallbackInfo& info) {
    if (!file) return info[0];
    const uint64_t offset = CountArgument(info[0], "offset"), limit = CountArgument(info[1], "limit");
    return Napi::Number::New(info.Env(), static_cast<double>(file->PresentUntil(offset, limit)));
  }

  Napi::Value Has(const Napi::CallbackInfo& info) {
    const uint64_t offset = CountArgument(info[0], "offset"), length = CountArgument(info[1], "length");
    return Napi::Boolean::New(info.Env(), file && file->Has(offset, length));
  }

  Napi::Value Put(const Napi::CallbackInfo& info) {
    const uint64_t offset = CountArgument(info[0], "offset");
    const Bytes bytes = BytesArgument(info[1], "bytes");
    if (file && offset + bytes.length > file->size()) throw Napi::TypeError::New(info.Env(), "bytes go beyond the file");
    const bool left = info[2].ToBoolean(), right = info[3].ToBoolean();
    auto work = [file = file, offset, bytes, left, right] {
      if (!file) throw SystemError(EBADF, "write");
      try {
        file->Put(offset, bytes.data, bytes.length, left, right);
      } catch (const std::system_error& error) {
        throw SystemError(error.code().value(), "write");
      }
      return true;
    };
    return Task<bool>::Run(info.Env(), info[1].As<Napi::Object>(), work,
                           [](Napi::Env env, bool&) { return env.Undefined(); });
  }

  /** The verified bytes, or undefined when they are not there. */
  Napi::Value Read(const Napi::CallbackInfo& info) {
    const uint64_t offset = CountArgument(info[0], "offset"), length = CountArgument(info[1], "length");
    if (file && offset + length > file->size()) throw Napi::TypeError::New(info.Env(), "the range goes beyond the file");
    auto work = [file = file, offset, length]() -> std::optional<Part> {
      if (!file) return std::nullopt;
      Slab slab = AllocateSlab(length + CacheFile::kSlack);
      std::vector<CacheFile::Part> parts;
      if (file->Read(offset, length, slab.get(), &parts) != CacheFile::Outcome::kRead) return std::nullopt;
      if (parts.size() == 1 && !parts[0].run) {
        const size_t begin = static_cast<size_t>(parts[0].bytes - slab.get());
        return Part{std::move(slab), begin, begin + length};
      }
      Slab together = AllocateSlab(length);
      for (const CacheFile::Part& part : parts) {
        std::memcpy(together.get() + (part.offset - offset), part.bytes, part.length);
        if (part.run) file->runs()->Sent(part.run.get(), part.offset, part.length);
      }
      return Part{std::move(together), 0, length};
    };
    return Task<std::optional<Part>>::Run(info.Env(), Napi::Object(), work, [](Napi::Env env, std::optional<Part>& part) {
      return part ? ShareParts(env, {*part})[0] : env.Undefined();
    });
  }

  void Drop(const Napi::CallbackInfo& info) {
    if (file) file->Drop(CountArgument(info[0], "offset"), CountArgument(info[1], "length"));
  }

  Napi::Value Claim(const Napi::CallbackInfo& info) {
    const bool claimed = !file || file->Claim(CountArgument(info[0], "offset"), CountArgument(info[1], "length"));
    return Napi::Boolean::New(info.Env(), claimed);
  }

  void Unclaim(const Napi::CallbackInfo& info) {
    if (file) file->Unclaim(CountArgument(info[0], "offset"), CountArgument(info[1], "length"));
  }

  Napi::Value Whole(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), file && file->Whole()); }

  Napi::Value Check(const Napi::CallbackInfo& info) {
    const uint64_t offset = CountArgument(info[0], "offset"), length = CountArgument(info[1], "length");
    const bool past = info[2].ToBoolean();
    auto work = [file = file, offset, length, past] { return file ? file->Check(offset, length, past) : CacheFile::Checked{}; };
    return Task<CacheFile::Checked>::Run(info.Env(), Napi::Object(), work, [](Napi::Env env, CacheFile::Checked& checked) {
      Napi::Object made = Napi::Object::New(env);
      made.Set("checked", static_cast<double>(checked.bytes));
      made.Set("damaged", static_cast<double>(checked.damaged));
      return made;
    });
  }

  Napi::Value Sync(const Napi::CallbackInfo& info) {
    auto work = [file = file] { return OnDisk(file, [&] { return file->Sync(); }); };
    return Task<CacheFile::Stamp>::Run(info.Env(), Napi::Object(), work, [](Napi::Env env, CacheFile::Stamp& stamp) {
      return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t*>(stamp.data()), sizeof stamp);
    });
  }

  Napi::Value Seal(const Napi::CallbackInfo& info) {
    const auto stamp = ArrayArgument<CacheFile::Stamp>(info[0], "stamp");
    auto work = [file = file, stamp] { return OnDisk(file, [&] { return file->Seal(stamp); }); };
    return Task<bool>::Run(info.Env(), Napi::Object(), work,
                           [](Napi::Env env, bool& sealed) { return Napi::Boolean::New(env, sealed); });
  }

  Napi::Value Sealed(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), file && file->Sealed()); }
};

/** One piece as src/base/native.ts lays it out. */
constexpr size_t kPieceBytes = 64;

std::vector<FetchPiece> PiecesOf(Napi::Env env, const Bytes& rows, uint64_t size) {
  std::vector<FetchPiece> pieces;
  uint64_t stored_end = 0;
  for (size_t at = 0; at + kPieceBytes <= rows.length; at += kPieceBytes) {
    const uint8_t* row = rows.data + at;
    double offsets[2];
    uint32_t lengths[2];
    std::memcpy(offsets, row, sizeof offsets);
    std::memcpy(lengths, row + 16, sizeof lengths);
    FetchPiece piece{static_cast<uint64_t>(offsets[0]), lengths[0], lengths[1], static_cast<uint64_t>(offsets[1]), {}, row[24] != 0, row[25] != 0};
    std::memcpy(piece.hash.data(), row + 32, piece.hash.size());
    const bool fits = piece.stored_length > 0 && piece.stored_offset >= stored_end && piece.file_offset + piece.plain_length <= size;
    if (!fits) throw Napi::TypeError::New(env, "a piece does not fit");
    stored_end = piece.stored_offset + piece.stored_length;
    pieces.push_back(piece);
  }
  if (pieces.empty()) throw Napi::TypeError::New(env, "there are no pieces");
  return pieces;
}

std::string TextOf(const Napi::Object& source, const char* name) {
  const Napi::Value value = source.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

Server ServerOf(const Napi::Object& source) {
  const uint64_t seconds = CountArgument(source.Get("timeoutSeconds"), "timeoutSeconds");
  return {TextOf(source, "url"), TextOf(source, "proxy"), TextOf(source, "certificates"), static_cast<unsigned>(seconds)};
}

struct Event {
  double id;
  bool ended;
  double landed, bytes;
  std::string failure;
  /** Of a range that has come. */
  Slab body;
};

/** Collects events from the threads, and delivers them in the thread of JavaScript. */
class Reporter : public std::enable_shared_from_this<Reporter> {
 public:
  void Open(Napi::Env env, Napi::Function handler) {
    auto gone = [self = shared_from_this()](Napi::Env) { self->Close(); };
    function_ = Napi::ThreadSafeFunction::New(env, handler, "fetch", 0, 1, gone);
    function_.Unref(env);
    open_ = true;
  }

  void Tell(Event event) {
    std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(std::move(event));
    if (!open_ || events_.size() > 1) return;
    auto call = [self = shared_from_this()](Napi::Env env, Napi::Function handler) { self->Deliver(env, handler); };
    if (function_.NonBlockingCall(call) != napi_ok) open_ = false;
  }

  /** What is under way keeps the process running. */
  void Begin(Napi::Env env) {
    if (under_way_++ == 0) function_.Ref(env);
  }

  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
  }

 private:
  void Deliver(Napi::Env env, Napi::Function handler) {
    std::vector<Event> events;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      events.swap(events_);
    }
    Napi::HandleScope scope(env);
    for (const Event& event : events) {
      if (event.ended && --under_way_ == 0) function_.Unref(env);
      const Napi::Value body = event.body ? ShareParts(env, {{event.body, 0, static_cast<size_t>(event.bytes)}})[0] : env.Undefined();
      handler.Call({Napi::Number::New(env, event.id), Napi::Boolean::New(env, event.ended), Napi::Number::New(env, event.landed),
                    Napi::Number::New(env, event.bytes), Napi::String::New(env, event.failure), body});
    }
  }

  std::mutex mutex_;
  Napi::ThreadSafeFunction function_;
  std::vector<Event> events_;
  unsigned under_way_ = 0;
  bool open_ = false;
};

class JsFetcher : public Napi::ObjectWrap<JsFetcher> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Fetcher", {InstanceMethod<&JsFetcher::Fetch>("fetch"), InstanceMethod<&JsFetcher::FetchWhole>("fetchWhole"), InstanceMethod<&JsFetcher::FetchRange>("fetchRange"), InstanceMethod<&JsFetcher::Limit>("limit")});
  }

  explicit JsFetcher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<JsFetcher>(info) {
    const uint64_t threads = CountArgument(info[0], "threads"), memory = CountArgument(info[1], "memory");
    fetcher_ = std::make_unique<Fetcher>(static_cast<unsigned>(threads), memory / Rooms::kUsualBytes);
    reporter_ = std::make_shared<Reporter>();
    reporter_->Open(info.Env(), info[2].As<Napi::Function>());
  }

 private:
  Napi::Value Fetch(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    const double id = static_cast<double>(CountArgument(info[0], "id"));
    const std::shared_ptr<CacheFile> file = JsCacheFile::Unwrap(info[1].As<Napi::Object>())->file;
    if (!file) throw Napi::Error::New(env, "the file is closed");
    const Napi::Object source = info[2].As<Napi::Object>();
    Transfer transfer;
    transfer.path = TextOf(source, "path");
    transfer.server = ServerOf(source);
    transfer.pieces = PiecesOf(env, BytesArgument(info[3], "pieces"), file->size());
    transfer.file = file;
    transfer.urgent = info[4].ToBoolean();
    transfer.held = info[5].ToBoolean();
    transfer.kept = info[6].ToBoolean();
    const auto given_up = std::make_shared<std::atomic<bool>>(false);
    transfer.given_up = given_up;
    transfer.begun = [reporter = reporter_, id] { reporter->Tell({id, false, -1, 0, {}, {}}); };
    transfer.moved = [reporter = reporter_, id](uint64_t bytes) {
      reporter->Tell({id, false, -1, static_cast<double>(bytes), {}, {}});
    };
    transfer.landed = [reporter = reporter_, id](size_t piece) {
      reporter->Tell({id, false, static_cast<double>(piece), 0, {}, {}});
    };
    transfer.ended = [reporter = reporter_, id](size_t landed, uint64_t bytes, std::string failure) {
      reporter->Tell({id, true, static_cast<double>(landed), static_cast<double>(bytes), std::move(failure), {}});
    };
    reporter_->Begin(env);
    fetcher_->Add(std::move(transfer));
    return Napi::Function::New(env, [given_up](const Napi::CallbackInfo&) { *given_up = true; });
  }

  Napi::Value FetchWhole(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    const double id = static_cast<double>(CountArgument(info[0], "id"));
    Download download;
    download.file = Coded(env, [&] { return std::make_shared<DescriptorCopy>(DescriptorArgument(info[1], "fd")); });
    download.from = CountArgument(info[2], "from");
    download.server = ServerOf(info[3].As<Napi::Object>());
    download.urgent = info[4].ToBoolean();
    const auto given_up = std::make_shared<std::atomic<bool>>(false);
    download.given_up = given_up;
    download.begun = [reporter = reporter_, id] { reporter->Tell({id, false, -1, 0, {}, {}}); };
    download.moved = [reporter = reporter_, id](uint64_t bytes) { reporter->Tell({id, false, -1, static_cast<double>(bytes), {}, {}}); };
    download.ended = [reporter = reporter_, id](uint64_t bytes, std::string failure) {
      reporter->Tell({id, true, 0, static_cast<double>(bytes), std::move(failure), {}});
    };
    reporter_->Begin(env);
    fetcher_->Add(std::move(download));
    return Napi::Function::New(env, [given_up](const Napi::CallbackInfo&) { *given_up = true; });
  }

  Napi::Value FetchRange(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    const double id = static_cast<double>(CountArgument(info[0], "id"));
    Range range;
    range.begin = CountArgument(info[1], "begin");
    const size_t length = CountArgument(info[2], "length");
    if (length == 0 || length > kSlabMax) throw Napi::TypeError::New(env, "no range of this length is fetched");
    range.end = range.begin + length;
    range.server = ServerOf(info[3].As<Napi::Object>());
    range.into = AllocateSlab(length);
    const auto given_up = std::make_shared<std::atomic<bool>>(false);
    range.given_up = given_up;
    range.ended = [reporter = reporter_, id, length, into = range.into](std::string failure) {
      const bool came = failure.empty();
      reporter->Tell({id, true, 0, came ? static_cast<double>(length) : 0, std::move(failure), came ? into : Slab()});
    };
    reporter_->Begin(env);
    fetcher_->Add(std::move(range));
    return Napi::Function::New(env, [given_up](const Napi::CallbackInfo&) { *given_up = true; });
  }

  void Limit(const Napi::CallbackInfo& info) { fetcher_->Limit(static_cast<unsigned>(CountArgument(info[0], "transfers"))); }

  std::unique_ptr<Fetcher> fetcher_;
  std::shared_ptr<Reporter> reporter_;
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("CacheFile", JsCacheFile::Define(env));
  exports.Set("Fetcher", JsFetcher::Define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(fetch, Init)
