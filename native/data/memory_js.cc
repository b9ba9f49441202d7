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
  BytesArgument(info[0], "bytes");
  const auto bytes = info[0].As<Napi::Uint8Array>();
  Napi::ArrayBuffer memory = bytes.ArrayBuffer();
  // Others may have the rest of it, as of the pool of small Buffers.
  if (bytes.ByteLength() == memory.ByteLength() && !memory.IsDetached()) memory.Detach();
}

}  // namespace

void ExportMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("allocate", Napi::Function::New(env, Allocate, "allocate"));
  exports.Set("release", Napi::Function::New(env, Release, "release"));
}
