// What the faces of the addon share.
#pragma once

#include <napi.h>

#include <string>
#include <system_error>

#include "mount.h"

/** An Error with `code`, the name of the errno; 0 has none. */
Napi::Error ErrorOf(Napi::Env env, int error, const std::string& message);

/** Runs `work`; what it throws becomes an Error of JavaScript. */
template <class Work>
auto Guarded(Napi::Env env, Work work) {
  try {
    return work();
  } catch (const MountError& error) {
    throw ErrorOf(env, error.error, error.message);
  } catch (const std::system_error& error) {
    throw ErrorOf(env, error.code().value(), error.what());
  }
}

/** The class FuseSession. */
Napi::Function DefineSession(Napi::Env env);
