// encodeBlobs, decodeBlob and decodeBlobSync.
#include <utility>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "blob.h"
#include "hash.h"
#include "slab.h"
#include "task.h"

namespace {

/** Blobs of at least this length that are not compressed are not copied. */
constexpr size_t kKeptFrom = 64 << 10;

/** A part without slab: the blob is the codec byte 0 and the plain bytes as they are. */
std::vector<Part> Encode(const std::vector<Bytes>& inputs) {
  size_t bound = 0;
  for (const Bytes& input : inputs) bound += BlobBound(input.length);
  Slab slab = AllocateSlab(bound);
  std::vector<Part> blobs;
  size_t used = 0;
  for (const Bytes& input : inputs) {
    const bool keep = input.length >= kKeptFrom;
    const size_t length = (keep ? CompressBlob : EncodeBlob)(input.data, input.length, slab.get() + used);
    if (length == 0) {
      blobs.push_back({nullptr, 0, 0});
      continue;
    }
    blobs.push_back({slab, used, used + length});
    used += length;
  }
  // A blob that compressed well gives back the room that it did not need.
  if (used < bound / 4 * 3) {
    slab = CopySlab(slab, used);
    for (Part& blob : blobs) {
      if (blob.slab) blob.slab = slab;
    }
  }
  return blobs;
}

Napi::Value ToBuffers(Napi::Env env, std::vector<Part>& blobs) {
  const std::vector<Napi::Value> buffers = ShareParts(env, blobs);
  Napi::Array array = Napi::Array::New(env, buffers.size());
  for (size_t i = 0; i < buffers.size(); i++) array.Set(static_cast<uint32_t>(i), buffers[i]);
  return array;
}

Napi::Value EncodeBlobs(const Napi::CallbackInfo& info) {
  const Napi::Array plain = ArrayArgument(info[0], "plain");
  // Our own list keeps the inputs alive: the caller may change the one it gave.
  Napi::Array kept = Napi::Array::New(info.Env(), plain.Length());
  std::vector<Bytes> inputs;
  for (uint32_t i = 0; i < plain.Length(); i++) {
    const Napi::Value each = plain.Get(i);
    inputs.push_back(BytesArgument(each, "plain bytes"));
    kept.Set(i, each);
  }
  return Task<std::vector<Part>>::Run(
      info.Env(), kept, [inputs = std::move(inputs)] { return Encode(inputs); }, ToBuffers);
}

struct DecodeArguments {
  Bytes stored;
  uint64_t plain_max;
  const uint8_t* hash;  // null where it is not checked here
};

DecodeArguments ReadDecodeArguments(const Napi::CallbackInfo& info) {
  const Bytes stored = BytesArgument(info[0], "stored");
  const uint64_t plain_max = CountArgument(info[1], "plainMax");
  const std::string domain = info[2].IsString() ? info[2].As<Napi::String>().Utf8Value() : "";
  if (domain != "plain" && domain != "node") {
    throw Napi::TypeError::New(info.Env(), "domain must be plain or node");
  }
  const Bytes hash = BytesArgument(info[3], "hash");
  if (hash.length != sizeof(Hash)) throw Napi::TypeError::New(info.Env(), "hash must be 32 bytes");
  return {stored, plain_max, domain == "plain" ? hash.data : nullptr};
}

Napi::Value DecodeBlobAsync(const Napi::CallbackInfo& info) {
  const DecodeArguments from = ReadDecodeArguments(info);
  Napi::Array kept = Napi::Array::New(info.Env(), 2);
  kept.Set(0u, info[0]);
  kept.Set(1u, info[3]);
  return Task<std::vector<Part>>::Run(
      info.Env(), kept,
      [from] {
        const size_t length = BlobPlainLength(from.stored.data, from.stored.length, from.plain_max);
        const Slab plain = AllocateSlab(length);
        DecodeBlob(from.stored.data, from.stored.length, plain.get(), length, from.hash);
        return std::vector<Part>{{plain, 0, length}};
      },
      [](Napi::Env env, std::vector<Part>& plain) { return ShareParts(env, plain)[0]; });
}

Napi::Value DecodeBlobSync(const Napi::CallbackInfo& info) {
  const DecodeArguments from = ReadDecodeArguments(info);
  try {
    const size_t length = BlobPlainLength(from.stored.data, from.stored.length, from.plain_max);
    auto plain = Napi::Buffer<uint8_t>::New(info.Env(), length);
    DecodeBlob(from.stored.data, from.stored.length, plain.Data(), length, from.hash);
    return plain;
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw ToJs(info.Env(), std::current_exception());
  }
}

}  // namespace

void ExportBlobs(Napi::Env env, Napi::Object exports) {
  exports.Set("encodeBlobs", Napi::Function::New(env, EncodeBlobs, "encodeBlobs"));
  exports.Set("decodeBlob", Napi::Function::New(env, DecodeBlobAsync, "decodeBlob"));
  exports.Set("decodeBlobSync", Napi::Function::New(env, DecodeBlobSync, "decodeBlobSync"));
}
