// The sandbox of a worker's commands on this machine: namespaces with a root folder of their own.
//
// The launcher keeps the machine's root as its own root. The sandbox's root is the launcher's working
// directory. So absolute paths name things of the machine, and relative paths name places in the
// sandbox. The first process of a command changes its root to the sandbox's. Each command gets a copy
// of the mounts, which the kernel removes when the command has ended.
#pragma once
#include <string>

#include "frames.h"
#include "next.h"

namespace launcher {

struct SandboxPlan {
  std::string slot;
  Pairs code;
  Texts hidden;
  bool no_network;
  bool scratch;
  Texts cgroups;
  std::string program;
};

/** Makes the sandbox and makes its root the working directory. Secret files belong to `owner`. Returns the socket of `next`. Throws Failure. */
NextSocket MakeSandbox(const SandboxPlan& plan, const Pairs& secrets, uid_t owner, gid_t group);

/** The launcher calls it before each command. Hides what has appeared at hidden places since. Throws Failure. */
void RenewSandbox();

/** The first process of a command calls it, in new namespaces. Mounts what only this command sees, then changes the root. Throws Failure. */
void EnterSandbox(const Pairs& binds, bool scratch);

}  // namespace launcher
