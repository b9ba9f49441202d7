// Errors that work on the thread pool throws, and what becomes of them in JavaScript.
#pragma once

#include <napi.h>

#include <exception>
#include <stdexcept>
#include <string>

/** The name of an errno value, such as "ENOENT". */
std::string ErrnoName(int error);

/** A failed system call; in JavaScript an Error with `code` and `syscall`, and `path` where one is told. */
class SystemError : public std::runtime_error {
 public:
  SystemError(int error, const char* syscall, std::string path = "");

  const std::string code;
  const char* const syscall;
  const std::string path;
};

/** Stored bytes are not what they should be; in JavaScript an Error with `code` 'DAMAGED'. */
class DamagedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/** The JavaScript Error for what was thrown outside of JavaScript. */
Napi::Error ToJs(Napi::Env env, std::exception_ptr thrown);
