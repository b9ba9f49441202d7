// The user that a command runs as, looked up in the files themselves, since a static program has no NSS.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace launcher {

struct User {
  uid_t id;
  gid_t group;
  std::vector<gid_t> groups;
  std::string home;
  /** False: it is the user that the launcher runs as, and nothing is changed. */
  bool other;
};

/** Finds `NAME|UID[:GROUP|GID]`; an empty text is the launcher's own user. Throws Failure when there is none. */
User FindUser(const std::string& spec);

}  // namespace launcher
