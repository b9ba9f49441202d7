// hash, hashAsync and verifyNode.
#include <cstring>

#include "../common/tree_node.h"
#include "addon.h"
#include "arguments.h"
#include "hash.h"
#include "task.h"

namespace {

Domain DomainArgument(Napi::Value value) {
  if (value.IsString()) {
    const std::string name = value.As<Napi::String>();
    if (name == "plain") return Domain::kPlain;
    if (name == "gear") return Domain::kGear;
    if (name == "node") return Domain::kNode;
    if (name == "content") return Domain::kContent;
    if (name == "reference") return Domain::kReference;
  }
  throw Napi::TypeError::New(value.Env(), "domain must be plain, gear, node, content or reference");
}

Napi::Value ToBuffer(Napi::Env env, const Hash& hash) {
  return Napi::Buffer<uint8_t>::Copy(env, hash.data(), hash.size());
}

Napi::Value HashParts(const Napi::CallbackInfo& info) {
  blake3_hasher hasher = StartHash(DomainArgument(info[0]));
  for (size_t i = 1; i < info.Length(); i++) {
    const Bytes part = BytesArgument(info[i], "part");
    blake3_hasher_update(&hasher, part.data, part.length);
  }
  return ToBuffer(info.Env(), FinishHash(hasher));
}

Napi::Value HashAsync(const Napi::CallbackInfo& info) {
  const Domain domain = DomainArgument(info[0]);
  const Bytes bytes = BytesArgument(info[1], "bytes");
  return Task<Hash>::Run(
      info.Env(), info[1].As<Napi::Object>(), [=] { return HashOf(domain, bytes.data, bytes.length); }, ToBuffer);
}

Napi::Value VerifyNode(const Napi::CallbackInfo& info) {
  const Bytes bytes = BytesArgument(info[0], "bytes"), hash = BytesArgument(info[1], "hash");
  const size_t named = NamedLength(bytes.data, bytes.length);
  if (named == 0 || hash.length != sizeof(Hash)) return Napi::Boolean::New(info.Env(), false);
  const Hash found = HashOf(Domain::kNode, bytes.data, named);
  return Napi::Boolean::New(info.Env(), std::memcmp(found.data(), hash.data, found.size()) == 0);
}

}  // namespace

void ExportHashing(Napi::Env env, Napi::Object exports) {
  exports.Set("hash", Napi::Function::New(env, HashParts, "hash"));
  exports.Set("verifyNode", Napi::Function::New(env, VerifyNode, "verifyNode"));
  exports.Set("hashAsync", Napi::Function::New(env, HashAsync, "hashAsync"));
}
