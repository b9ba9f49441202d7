#include "blob.h"

#include <zstd.h>

#include <cstring>
#include <memory>
#include <new>

#include "errors.h"
#include "hash.h"

namespace {

constexpr uint8_t kCodecPlain = 0;
constexpr uint8_t kCodecZstd = 1;
constexpr int kLevel = 3;

// Long inputs are judged by samples first: many data sets are compressed already, and trying to
// compress them in full costs ten times as much.
constexpr size_t kSampledFrom = 262144;
constexpr size_t kSampleLength = 8192;
constexpr size_t kSamples = 8;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

/** The compressor of this thread, set to `level`. */
ZSTD_CCtx* Compressor(int level) {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

/** The longest frame that is worth it: at least 1/16 smaller. */
constexpr size_t FrameMax(size_t length) { return length - (length + 15) / 16; }

/** Whether samples spread over the input get smaller at all. */
bool LooksCompressible(const uint8_t* plain, size_t length) {
  uint8_t frame[kSampleLength + 1024];
  size_t total = 0;
  for (size_t i = 0; i < kSamples; i++) {
    const uint8_t* sample = plain + (length - kSampleLength) / (kSamples - 1) * i;
    const size_t size = ZSTD_compress2(Compressor(1), frame, sizeof frame, sample, kSampleLength);
    total += ZSTD_isError(size) ? kSampleLength : size;
  }
  return total <= kSamples * kSampleLength / 32 * 31;
}

/** A frame's content size, if it is one frame of zstd that fills `length` bytes exactly. */
uint64_t FrameContentSize(const uint8_t* frame, size_t length) {
  uint32_t magic = 0;
  if (length >= 4) magic = frame[0] | frame[1] << 8 | frame[2] << 16 | uint32_t{frame[3]} << 24;
  if (magic != ZSTD_MAGICNUMBER) throw DamagedError("blob: its payload is no zstd frame");
  const unsigned long long size = ZSTD_getFrameContentSize(frame, length);
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) {
    throw DamagedError("blob: its zstd frame has no content size");
  }
  const size_t whole = ZSTD_findFrameCompressedSize(frame, length);
  if (ZSTD_isError(whole)) throw DamagedError("blob: its zstd frame is cut short or malformed");
  if (whole != length) throw DamagedError("blob: bytes follow its zstd frame");
  return size;
}

void Verify(const uint8_t* plain, size_t length, const uint8_t* hash) {
  const Hash found = HashOf(Domain::kPlain, plain, length);
  if (std::memcmp(found.data(), hash, found.size()) != 0) throw DamagedError("blob: its bytes have another hash");
}

}  // namespace

size_t CompressBlob(const uint8_t* plain, size_t length, uint8_t* out) {
  const size_t frame_max = FrameMax(length);
  if (frame_max > 0 && (length < kSampledFrom || LooksCompressible(plain, length))) {
    // The output has no more room than that: zstd itself gives up when the result would be too large.
    const size_t size = ZSTD_compress2(Compressor(kLevel), out + 1, frame_max, plain, length);
    if (!ZSTD_isError(size)) {
      out[0] = kCodecZstd;
      return size + 1;
    }
  }
  return 0;
}

size_t EncodeBlob(const uint8_t* plain, size_t length, uint8_t* out) {
  const size_t compressed = CompressBlob(plain, length, out);
  if (compressed > 0) return compressed;
  out[0] = kCodecPlain;
  if (length > 0) std::memcpy(out + 1, plain, length);
  return length + 1;
}

size_t BlobPlainLength(const uint8_t* stored, size_t length, uint64_t plain_max) {
  if (length == 0) throw DamagedError("blob: empty");
  uint64_t plain_length = length - 1;
  if (stored[0] == kCodecZstd) {
    plain_length = FrameContentSize(stored + 1, length - 1);
  } else if (stored[0] != kCodecPlain) {
    throw DamagedError("blob: unknown codec " + std::to_string(stored[0]));
  }
  if (plain_length > plain_max) {
    throw DamagedError("blob: " + std::to_string(plain_length) + " plain bytes, at most " +
                       std::to_string(plain_max) + " expected");
  }
  if (stored[0] == kCodecZstd && length - 1 > FrameMax(plain_length)) {
    throw DamagedError("blob: its zstd frame saves too little");
  }
  return plain_length;
}

bool IsPlainBlob(uint8_t first, size_t length, size_t plain_length) {
  return first == kCodecPlain && length == plain_length + 1;
}

void DecodeBlob(const uint8_t* stored, size_t length, uint8_t* plain, size_t plain_length, const uint8_t* hash) {
  if (stored[0] == kCodecPlain) {
    if (plain_length > 0) std::memcpy(plain, stored + 1, plain_length);
  } else {
    const size_t size = ZSTD_decompressDCtx(Decompressor(), plain, plain_length, stored + 1, length - 1);
    if (ZSTD_isError(size)) throw DamagedError(std::string("blob: ") + ZSTD_getErrorName(size));
    if (size != plain_length) throw DamagedError("blob: its zstd frame yields less than it says");
  }
  if (hash != nullptr) Verify(plain, plain_length, hash);
}

const uint8_t* VerifiedInPlace(const uint8_t* stored, size_t length, const uint8_t* hash) {
  if (stored[0] != kCodecPlain) return nullptr;
  Verify(stored + 1, length - 1, hash);
  return stored + 1;
}
