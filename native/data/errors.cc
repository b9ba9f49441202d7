#include "errors.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace {

struct Name {
  int error;
  const char* name;
};

#define NAME(error) {error, #error}
// Error numbers that opening, reading, listing, removing and locking are known to give.
constexpr Name kNames[] = {
    NAME(E2BIG),   NAME(EACCES), NAME(EAGAIN), NAME(EBADF),   NAME(EBUSY),        NAME(EDEADLK), NAME(EDQUOT),
    NAME(EEXIST),  NAME(EFAULT), NAME(EFBIG),  NAME(EINTR),   NAME(EINVAL),       NAME(EIO),     NAME(EISDIR),
    NAME(ELOOP),   NAME(EMFILE), NAME(EMLINK), NAME(ENFILE),  NAME(ENAMETOOLONG), NAME(ENODEV),  NAME(ENOENT),
    NAME(ENOLCK),  NAME(ENOMEM), NAME(ENOSPC), NAME(ENOSYS),  NAME(ENOTCONN),     NAME(ENOTDIR), NAME(ENOTSUP),
    NAME(ENXIO),   NAME(EPERM),  NAME(EPIPE),  NAME(ERANGE),  NAME(EROFS),        NAME(ESPIPE),  NAME(ESTALE),
    NAME(ETIMEDOUT), NAME(ETXTBSY), NAME(EXDEV), NAME(EOVERFLOW), NAME(EOPNOTSUPP), NAME(ECONNABORTED),
    NAME(ENOTEMPTY),
};
#undef NAME

Napi::Error Coded(Napi::Env env, const char* message, const std::string& code) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

}  // namespace

std::string ErrnoName(int error) {
  for (const Name& known : kNames) {
    if (known.error == error) return known.name;
  }
  return "E" + std::to_string(error);
}

SystemError::SystemError(int error, const char* syscall, std::string path)
    : std::runtime_error(ErrnoName(error) + ": " + std::strerror(error) + ", " + syscall +
                         (path.empty() ? "" : " '" + path + "'")),
      code(ErrnoName(error)),
      syscall(syscall),
      path(std::move(path)) {}

Napi::Error ToJs(Napi::Env env, std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const SystemError& system) {
    Napi::Error error = Coded(env, system.what(), system.code);
    error.Set("syscall", Napi::String::New(env, system.syscall));
    if (!system.path.empty()) error.Set("path", Napi::String::New(env, system.path));
    return error;
  } catch (const DamagedError& damaged) {
    return Coded(env, damaged.what(), "DAMAGED");
  } catch (const std::bad_alloc&) {
    return Coded(env, "ENOMEM: not enough memory", "ENOMEM");
  } catch (const std::exception& other) {
    return Napi::Error::New(env, other.what());
  }
}
