#include "environment.h"

#include <algorithm>

namespace launcher {

namespace {

bool StartsWith(const std::string& text, const std::string& prefix) { return text.compare(0, prefix.size(), prefix) == 0; }

}  // namespace

bool Has(const Texts& env, const std::string& prefix) {
  return std::any_of(env.begin(), env.end(), [&](const std::string& variable) { return StartsWith(variable, prefix); });
}

void Set(Texts* env, const std::string& variable) {
  const std::string prefix = variable.substr(0, variable.find('=') + 1);
  for (std::string& other : *env) {
    if (StartsWith(other, prefix)) {
      other = variable;
      return;
    }
  }
  env->push_back(variable);
}

void SetAll(Texts* env, const Texts& variables) {
  for (const std::string& variable : variables) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos) Malformed();
    Set(env, variable);
  }
}

void Remove(Texts* env, const std::string& prefix) {
  env->erase(std::remove_if(env->begin(), env->end(), [&](const std::string& variable) { return StartsWith(variable, prefix); }), env->end());
}

}  // namespace launcher
