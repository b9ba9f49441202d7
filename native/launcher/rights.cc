#include "rights.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <initializer_list>

namespace launcher {

namespace {

uint64_t KeptRights() {
  if (geteuid() != 0) return 0;
  uint64_t mask = 0;
  for (const unsigned capability : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETUID, CAP_SETGID, CAP_KILL}) {
    mask |= uint64_t{1} << capability;
  }
  return mask;
}

}  // namespace

bool BoundRights() {
  const uint64_t mask = KeptRights();
  for (unsigned capability = 0; capability < 64; capability++) {
    if ((mask >> capability & 1) == 0) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

bool DropRights() {
  const uint64_t mask = KeptRights();
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  for (int i = 0; i < 2; i++) {
    data[i].permitted &= static_cast<uint32_t>(mask >> (32 * i));
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) == 0;
}

}  // namespace launcher
