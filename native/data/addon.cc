// The portable addon: hashing, cutting, compression, batched file reading. Nothing here keeps state
// outside of the objects it hands out, so that any number of Node's threads may load it.
#include "addon.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
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
