// remove and removeAsync.
#include "addon.h"
#include "arguments.h"
#include "remove.h"
#include "task.h"

namespace {

What WhatArgument(Napi::Value value) {
  const std::string name = value.ToString();
  if (name == "tree") return What::kTree;
  if (name == "contents") return What::kContents;
  if (name == "single") return What::kSingle;
  throw Napi::TypeError::New(value.Env(), "what must be tree, contents or single");
}

std::function<bool()> Work(const Napi::CallbackInfo& info) {
  return [folder = PathArgument(info[0], "folder"), below = PathArgument(info[1], "below"),
          what = WhatArgument(info[2])] {
    Remove(folder, below, what);
    return true;
  };
}

Napi::Value RemoveSync(const Napi::CallbackInfo& info) {
  const auto work = Work(info);
  try {
    work();
  } catch (...) {
    throw ToJs(info.Env(), std::current_exception());
  }
  return info.Env().Undefined();
}

Napi::Value RemoveAsync(const Napi::CallbackInfo& info) {
  return Task<bool>::Run(info.Env(), {}, Work(info), [](Napi::Env env, bool&) { return env.Undefined(); });
}

}  // namespace

void ExportRemoving(Napi::Env env, Napi::Object exports) {
  exports.Set("remove", Napi::Function::New(env, RemoveSync, "remove"));
  exports.Set("removeAsync", Napi::Function::New(env, RemoveAsync, "removeAsync"));
}
