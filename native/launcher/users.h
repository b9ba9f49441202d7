// Who a command runs as: looked up in the files themselves, since a static program has no NSS.
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
  /** False: who the launcher runs as, whose rights are left as they are. */
  bool other;
};

/** Of `NAME|UID[:GROUP|GID]`, or of the launcher itself for an empty text; throws Failure when there is none. */
User FindUser(const std::string& spec);

}  // namespace launcher
