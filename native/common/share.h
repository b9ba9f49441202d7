// A file of the cache on its way from the addon that fills it to the one that answers from it.
#pragma once

#include <napi.h>

#include <memory>

#include "cache_file.h"

/** Both addons are of one build, which the tag says. */
constexpr napi_type_tag kCacheFileTag = {0x9a6f1d53c07e4b82, 0xb4e2a8176d3f905c};

/** Undefined for none. What JavaScript gets does not keep the file: nobody can wait for the garbage collector with descriptors. */
inline Napi::Value ShareCacheFile(Napi::Env env, std::shared_ptr<CacheFile> file) {
  if (!file) return env.Undefined();
  using Held = std::weak_ptr<CacheFile>;
  auto shared = Napi::External<Held>::New(env, new Held(file), [](Napi::Env, Held* held) { delete held; });
  shared.TypeTag(&kCacheFileTag);
  return shared;
}

/** Null for anything else, and for a file that was closed. */
inline std::shared_ptr<CacheFile> SharedCacheFile(Napi::Value value) {
  if (!value.IsExternal()) return nullptr;
  auto shared = value.As<Napi::External<std::weak_ptr<CacheFile>>>();
  return shared.CheckTypeTag(&kCacheFileTag) ? shared.Data()->lock() : nullptr;
}
