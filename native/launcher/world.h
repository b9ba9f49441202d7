// The world of a worker's commands on this machine: namespaces, with a root of their own.
//
// The launcher keeps the machine's own root, and the world's is its working directory, so that what
// is shown comes from absolute paths and where from relative ones; a command's first process
// changes its root to it. Every command gets a copy of the mounts, which ends with it.
#pragma once
#include <string>

#include "frames.h"
#include "next.h"

namespace launcher {

struct WorldPlan {
  std::string slot;
  Pairs code;
  Texts hidden;
  bool no_network;
  bool scratch;
  Texts cgroups;
  std::string program;
};

/** Makes the world, and goes to it; secrets belong to `owner`. Returns what `next` asks. Throws Failure. */
NextSocket MakeWorld(const WorldPlan& plan, const Pairs& secrets, uid_t owner, gid_t group);

/** In the launcher, before each command: hides what has come to places that are hidden. Throws Failure. */
void RenewWorld();

/** In a command's first process, in new namespaces: what only this command sees. Then its root is the world's. Throws Failure. */
void EnterWorld(const Pairs& binds, bool scratch);

}  // namespace launcher
