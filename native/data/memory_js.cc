// allocate and release.
#include "addon.h"
#include "arguments.h"
#include "slab.h"

namespace {

Napi::Value Allocate(const Napi::CallbackInfo& info) {
  const size_t length = CountArgument(info[0], "length");
  if (length > kSlabMax) throw Napi::TypeError::New(info.Env(), "length: at most 8 MiB");
  return ShareParts(info.Env(), {{AllocateSlab(length), 0, length}})[0];
}

void Release(const Napi::CallbackInfo& info) {
  for (size_t first = 0; first < info.Length();) {
    Napi::ArrayBuffer memory;
    size_t length = 0;
    size_t next = first;
    for (; next < info.Length(); next++) {
      BytesArgument(info[next], "bytes");
      const auto bytes = info[next].As<Napi::Uint8Array>();
      if (next == first) memory = bytes.ArrayBuffer();
      if (!bytes.ArrayBuffer().StrictEquals(memory)) break;
      length += bytes.ByteLength();
    }
    // Others may have the rest of it, as of the pool of small Buffers.
    if (length == memory.ByteLength() && !memory.IsDetached()) memory.Detach();
    first = next;
  }
}

}  // namespace

void ExportMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("allocate", Napi::Function::New(env, Allocate, "allocate"));
  exports.Set("release", Napi::Function::New(env, Release, "release"));
}
