// listFolder, readSmallFiles, readLink, openFile, writeNewFile, tryLock, lockExclusive and preload.
#include <dlfcn.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "addon.h"
#include "arguments.h"
#include "folder.h"
#include "task.h"
#include "write.h"

namespace {

/** Sets the properties of many objects: a property's name is made into a string only once. */
class StatusWriter {
 public:
  explicit StatusWriter(Napi::Env env) : env_(env) {
    const char* const keys[] = {"executable", "mtimeSeconds", "mtimeNanoseconds", "error"};
    for (size_t i = 0; i < 4; i++) keys_[i] = Napi::String::New(env, keys[i]);
  }

  void Write(Napi::Object object, const Status& status) const {
    object.Set(keys_[0], Napi::Boolean::New(env_, status.executable));
    object.Set(keys_[1], Napi::Number::New(env_, static_cast<double>(status.seconds)));
    object.Set(keys_[2], Napi::Number::New(env_, status.nanoseconds));
    if (!status.error.empty()) object.Set(keys_[3], Napi::String::New(env_, status.error));
  }

 private:
  Napi::Env env_;
  napi_value keys_[4];
};

/** One row a name, as src/base/listing.ts reads them. */
constexpr size_t kRow = 48;

Napi::Value ToListing(Napi::Env env, std::vector<Listed>& listed) {
  size_t total = 0;
  size_t files = 0;
  for (const auto& [name, status, fingerprint] : listed) {
    total += name.size();
    if (status.kind == Kind::kFile && status.error.empty()) files++;
  }
  auto names = Napi::Buffer<char>::New(env, total);
  auto rows = Napi::Buffer<uint8_t>::New(env, listed.size() * kRow);
  auto fingerprints = Napi::Buffer<uint8_t>::New(env, files * sizeof(Fingerprint));
  Napi::Object errors = Napi::Object::New(env);
  size_t end = 0;
  size_t file = 0;
  for (size_t i = 0; i < listed.size(); i++) {
    const auto& [name, status, fingerprint] = listed[i];
    std::copy(name.begin(), name.end(), names.Data() + end);
    end += name.size();
    const double numbers[] = {static_cast<double>(end), static_cast<double>(status.size),
                              static_cast<double>(status.seconds), static_cast<double>(status.nanoseconds)};
    uint8_t* row = rows.Data() + i * kRow;
    std::memset(row, 0, kRow);
    std::memcpy(row, numbers, sizeof numbers);
    row[32] = static_cast<uint8_t>(status.kind);
    row[33] = status.executable;
    if (!status.error.empty()) {
      errors.Set(static_cast<uint32_t>(i), Napi::String::New(env, status.error));
    } else if (status.kind == Kind::kFile) {
      std::copy(fingerprint.begin(), fingerprint.end(), fingerprints.Data() + file * sizeof fingerprint);
      file++;
    }
  }
  Napi::Object listing = Napi::Object::New(env);
  listing.Set("names", names);
  listing.Set("rows", rows);
  listing.Set("fingerprints", fingerprints);
  listing.Set("errors", errors);
  return listing;
}

/** The first two arguments. */
Place PlaceArgument(const Napi::CallbackInfo& info) {
  return {PathArgument(info[0], "root"), PathArgument(info[1], "path")};
}

Napi::Value ListFolderAsync(const Napi::CallbackInfo& info) {
  const auto settled_ms = static_cast<int64_t>(CountArgument(info[2], "settledMs"));
  return Task<std::vector<Listed>>::Run(
      info.Env(), {}, [folder = PlaceArgument(info), settled_ms] { return ListFolder(folder, settled_ms); }, ToListing);
}

Napi::Value ReadLinkAsync(const Napi::CallbackInfo& info) {
  auto work = [folder = PlaceArgument(info), name = NameArgument(info[2], "name")] { return ReadLink(folder, name); };
  return Task<std::string>::Run(info.Env(), {}, work, [](Napi::Env env, std::string& target) {
    return Napi::Buffer<char>::Copy(env, target.data(), target.size());
  });
}

Napi::Value OpenFileAsync(const Napi::CallbackInfo& info) {
  auto work = [place = PlaceArgument(info)] { return OpenPlace(place, 0); };
  return Task<int>::Run(info.Env(), {}, work, [](Napi::Env env, int& fd) { return Napi::Number::New(env, fd); });
}

Napi::Value ToSmallFiles(Napi::Env env, std::vector<Read>& reads) {
  std::vector<Part> parts;
  auto hashes = Napi::Buffer<uint8_t>::New(env, reads.size() * sizeof(Hash));
  for (const Read& read : reads) {
    std::copy(read.hash.begin(), read.hash.end(), hashes.Data() + parts.size() * sizeof(Hash));
    parts.push_back({read.slab, read.offset, read.offset + read.length});
  }
  // They are stored and released together.
  const std::vector<Napi::Value> bytes = ShareParts(env, parts, 0);
  const Slicer slicer(hashes);
  const StatusWriter writer(env);
  const napi_value bytes_key = Napi::String::New(env, "bytes");
  const napi_value hash_key = Napi::String::New(env, "hash");
  Napi::Array array = Napi::Array::New(env, reads.size());
  for (size_t i = 0; i < reads.size(); i++) {
    const Napi::HandleScope scope(env);
    Napi::Object file = Napi::Object::New(env);
    writer.Write(file, reads[i].status);
    if (reads[i].slab) {
      file.Set(bytes_key, bytes[i]);
      file.Set(hash_key, slicer.Slice(i * sizeof(Hash), (i + 1) * sizeof(Hash)));
    }
    array.Set(static_cast<uint32_t>(i), file);
  }
  return array;
}

Napi::Value ReadSmallFiles(const Napi::CallbackInfo& info) {
  Place folder = PlaceArgument(info);
  const Napi::Array list = ArrayArgument(info[2], "names");
  const uint64_t bytes_max = CountArgument(info[3], "maxBytes");
  std::vector<std::string> names;
  for (uint32_t i = 0; i < list.Length(); i++) names.push_back(NameArgument(list.Get(i), "name"));
  return Task<std::vector<Read>>::Run(
      info.Env(), {},
      [folder = std::move(folder), names = std::move(names), bytes_max] {
        return ReadFiles(folder, names, bytes_max);
      },
      ToSmallFiles);
}

constexpr uint32_t kLockRetryMsMax = 16;

/** flock(2) without waiting; 0, or -1 with errno. */
int LockNow(int fd) {
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result;
}

Napi::Value TryLock(const Napi::CallbackInfo& info) {
  const int result = LockNow(DescriptorArgument(info[0], "fd"));
  if (result != 0 && errno != EWOULDBLOCK) {
    throw ToJs(info.Env(), std::make_exception_ptr(SystemError(errno, "flock")));
  }
  return Napi::Boolean::New(info.Env(), result == 0);
}

/** Tries the lock again and again: waiting for it would block a thread of the pool that others need. */
void RetryLock(Napi::Env env, const std::shared_ptr<Napi::Promise::Deferred>& deferred, int fd, uint32_t retry_ms) {
  if (LockNow(fd) == 0) return deferred->Resolve(env.Undefined());
  if (errno != EWOULDBLOCK) {
    return deferred->Reject(ToJs(env, std::make_exception_ptr(SystemError(errno, "flock"))).Value());
  }
  const auto retry = Napi::Function::New(env, [=](const Napi::CallbackInfo& info) {
    RetryLock(info.Env(), deferred, fd, std::min(2 * retry_ms, kLockRetryMsMax));
  });
  env.Global().Get("setTimeout").As<Napi::Function>().Call({retry, Napi::Number::New(env, retry_ms)});
}

Napi::Value LockExclusive(const Napi::CallbackInfo& info) {
  const int fd = DescriptorArgument(info[0], "fd");
  const auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  RetryLock(info.Env(), deferred, fd, 1);
  return deferred->Promise();
}

Napi::Value WriteNewFileAsync(const Napi::CallbackInfo& info) {
  std::string path = PathArgument(info[0], "path");
  const Napi::Array listed = ArrayArgument(info[1], "parts");
  // Our own list keeps the parts alive: the caller may change the one it gave.
  Napi::Array kept = Napi::Array::New(info.Env(), listed.Length());
  std::vector<Bytes> parts;
  for (uint32_t i = 0; i < listed.Length(); i++) {
    const Napi::Value each = listed.Get(i);
    parts.push_back(BytesArgument(each, "part"));
    kept.Set(i, each);
  }
  Given given;
  if (!info[2].IsUndefined()) given.mode = static_cast<mode_t>(CountArgument(info[2], "mode"));
  if (!info[3].IsUndefined()) given.group = static_cast<gid_t>(CountArgument(info[3], "group"));
  auto work = [path = std::move(path), parts = std::move(parts), given] { return WriteNewFile(path, parts, given); };
  return Task<int>::Run(info.Env(), kept, work, [](Napi::Env env, int& fd) { return Napi::Number::New(env, fd); });
}

/** False when it can't be loaded: whoever needs the library gets the error then. */
Napi::Value PreloadAsync(const Napi::CallbackInfo& info) {
  auto work = [path = PathArgument(info[0], "path")] { return dlopen(path.c_str(), RTLD_LAZY) != nullptr; };
  return Task<bool>::Run(info.Env(), {}, work, [](Napi::Env env, bool& loaded) { return Napi::Boolean::New(env, loaded); });
}

}  // namespace

void ExportFiles(Napi::Env env, Napi::Object exports) {
  exports.Set("listFolder", Napi::Function::New(env, ListFolderAsync, "listFolder"));
  exports.Set("readSmallFiles", Napi::Function::New(env, ReadSmallFiles, "readSmallFiles"));
  exports.Set("readLink", Napi::Function::New(env, ReadLinkAsync, "readLink"));
  exports.Set("openFile", Napi::Function::New(env, OpenFileAsync, "openFile"));
  exports.Set("writeNewFile", Napi::Function::New(env, WriteNewFileAsync, "writeNewFile"));
  exports.Set("preload", Napi::Function::New(env, PreloadAsync, "preload"));
  exports.Set("tryLock", Napi::Function::New(env, TryLock, "tryLock"));
  exports.Set("lockExclusive", Napi::Function::New(env, LockExclusive, "lockExclusive"));
}
