#include "arguments.h"

#include <climits>
#include <cmath>

namespace {

constexpr double kSafeIntegerMax = 9007199254740991.0;

[[noreturn]] void Refuse(Napi::Env env, const char* name, const char* wanted) {
  throw Napi::TypeError::New(env, std::string(name) + " must be " + wanted);
}

double Integer(Napi::Value value, const char* name, double max, const char* wanted) {
  if (!value.IsNumber()) Refuse(value.Env(), name, wanted);
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= max && std::floor(number) == number)) Refuse(value.Env(), name, wanted);
  return number;
}

}  // namespace

Bytes BytesArgument(Napi::Value value, const char* name) {
  if (!value.IsTypedArray()) Refuse(value.Env(), name, "a Uint8Array");
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  const napi_status status =
      napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array) Refuse(value.Env(), name, "a Uint8Array");
  return {static_cast<const uint8_t*>(data), length};
}

uint64_t CountArgument(Napi::Value value, const char* name) {
  return static_cast<uint64_t>(Integer(value, name, kSafeIntegerMax, "a safe integer >= 0"));
}

int DescriptorArgument(Napi::Value value, const char* name) {
  return static_cast<int>(Integer(value, name, INT_MAX, "a file descriptor"));
}

std::string PathArgument(Napi::Value value, const char* name) {
  const Bytes bytes = BytesArgument(value, name);
  std::string path(reinterpret_cast<const char*>(bytes.data), bytes.length);
  if (path.find('\0') != std::string::npos) Refuse(value.Env(), name, "a path without NUL");
  return path;
}

std::string NameArgument(Napi::Value value, const char* name) {
  std::string path = PathArgument(value, name);
  if (path.empty() || path.find('/') != std::string::npos) Refuse(value.Env(), name, "a name in a folder");
  return path;
}

Napi::Array ArrayArgument(Napi::Value value, const char* name) {
  if (!value.IsArray()) Refuse(value.Env(), name, "an array");
  return value.As<Napi::Array>();
}
