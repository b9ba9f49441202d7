// A command's variables, as `NAME=value` each.
#pragma once
#include <string>

#include "frames.h"

namespace launcher {

/** True when a variable is set; `prefix` is `NAME=`. */
bool Has(const Texts& env, const std::string& prefix);

/** Sets a variable, whether it was there or not. */
void Set(Texts* env, const std::string& variable);

/** Sets variables that the engine sent; throws Failure for one that has no name. */
void SetAll(Texts* env, const Texts& variables);

/** Removes a variable; `prefix` is `NAME=`. */
void Remove(Texts* env, const std::string& prefix);

}  // namespace launcher
