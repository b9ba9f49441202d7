// The portable addon: hashing, cutting, compression, batched file reading. Nothing here keeps state
// outside of the objects it hands out, so that any number of Node's threads may load it.
#include "addon.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

/**
 * Blocks of at least this length are mapped, each by itself, and unmapped as soon as they are freed. Where it is
 * not set, glibc raises it to 32 MiB as such blocks are freed, takes later ones from its heaps, and these grow around what stays.
 */
constexpr int kMappedFrom = 1 << 20;

Napi::Object Init(Napi::Env env, Napi::Object exports) {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
#endif
  ExportHashing(env, exports);
  ExportCutting(env, exports);
  ExportBlobs(env, exports);
  ExportFiles(env, exports);
  ExportMemory(env, exports);
  ExportRemoving(env, exports);
  ExportRows(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(data, Init)
