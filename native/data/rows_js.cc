// sortRows.
#include "addon.h"
#include "arguments.h"
#include "rows.h"
#include "task.h"

namespace {

Napi::Value SortRowsAsync(const Napi::CallbackInfo& info) {
  const Bytes rows = BytesArgument(info[0], "rows");
  const uint64_t length = CountArgument(info[1], "rowBytes");
  if (length < 32 || rows.length % length != 0 || rows.length / length > UINT32_MAX) {
    throw Napi::TypeError::New(info.Env(), "rows must be whole and have at least 32 bytes");
  }
  // The caller has promised not to touch these bytes until the promise settles.
  auto* data = const_cast<uint8_t*>(rows.data);
  return Task<size_t>::Run(
      info.Env(), info[0].As<Napi::Object>(), [=] { return SortRows(data, rows.length / length, length); },
      [](Napi::Env env, size_t& count) { return Napi::Number::New(env, static_cast<double>(count)); });
}

}  // namespace

void ExportRows(Napi::Env env, Napi::Object exports) {
  exports.Set("sortRows", Napi::Function::New(env, SortRowsAsync, "sortRows"));
}
