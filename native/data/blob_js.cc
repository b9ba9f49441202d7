// encodeBlobs, decodeBlob, decodeBlobSync and verifyBlobs.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "blob.h"
#include "errors.h"
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
  const Slab slab = AllocateSlab(bound);
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
  return blobs;
}

Napi::Value ToBuffers(Napi::Env env, std::vector<Part>& blobs) {
  // They go into a pack and are released together.
  const std::vector<Napi::Value> buffers = ShareParts(env, blobs, 0);
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

/** Rows of verifyBlobs: u32 offset, u32 stored length, hash[32]. */
constexpr size_t kVerifyRow = 40;
/** In place of a plain length: the blob is damaged. */
constexpr uint32_t kDamaged = UINT32_MAX;

uint32_t U32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/** The plain length of one blob whose hash is right. `scratch` holds what is compressed. */
uint32_t VerifiedLength(const uint8_t* stored, size_t length, const uint8_t* hash, uint64_t plain_max,
                        std::vector<uint8_t>& scratch) {
  try {
    const size_t plain = BlobPlainLength(stored, length, plain_max);
    if (VerifiedInPlace(stored, length, hash) == nullptr) {
      if (scratch.size() < plain) scratch.resize(plain);
      DecodeBlob(stored, length, scratch.data(), plain, hash);
    }
    return static_cast<uint32_t>(plain);
  } catch (const DamagedError&) {
    return kDamaged;
  }
}

std::vector<uint32_t> VerifyAll(Bytes stored, Bytes rows, uint64_t plain_max) {
  std::vector<uint32_t> lengths;
  std::vector<uint8_t> scratch;
  for (size_t at = 0; at < rows.length; at += kVerifyRow) {
    const size_t offset = U32(rows.data + at);
    const size_t length = U32(rows.data + at + 4);
    const bool inside = offset <= stored.length && length <= stored.length - offset;
    lengths.push_back(inside ? VerifiedLength(stored.data + offset, length, rows.data + at + 8, plain_max, scratch)
                             : kDamaged);
  }
  return lengths;
}

Napi::Value VerifyBlobs(const Napi::CallbackInfo& info) {
  const Bytes stored = BytesArgument(info[0], "stored");
  const Bytes rows = BytesArgument(info[1], "rows");
  const uint64_t plain_max = CountArgument(info[2], "plainMax");
  if (rows.length % kVerifyRow != 0 || plain_max >= kDamaged) {
    throw Napi::TypeError::New(info.Env(), "rows must be whole, and plainMax less than 2^32 - 1");
  }
  Napi::Array kept = Napi::Array::New(info.Env(), 2);
  kept.Set(0u, info[0]);
  kept.Set(1u, info[1]);
  return Task<std::vector<uint32_t>>::Run(
      info.Env(), kept, [=] { return VerifyAll(stored, rows, plain_max); },
      [](Napi::Env env, std::vector<uint32_t>& lengths) {
        auto found = Napi::Uint32Array::New(env, lengths.size());
        std::copy(lengths.begin(), lengths.end(), found.Data());
        return found;
      });
}

}  // namespace

void ExportBlobs(Napi::Env env, Napi::Object exports) {
  exports.Set("encodeBlobs", Napi::Function::New(env, EncodeBlobs, "encodeBlobs"));
  exports.Set("decodeBlob", Napi::Function::New(env, DecodeBlobAsync, "decodeBlob"));
  exports.Set("decodeBlobSync", Napi::Function::New(env, DecodeBlobSync, "decodeBlobSync"));
  exports.Set("verifyBlobs", Napi::Function::New(env, VerifyBlobs, "verifyBlobs"));
}
