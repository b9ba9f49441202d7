#include "filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

// Not refused: ptrace and its like, since a command's PID namespace holds nothing but itself; user
// namespaces, which sandboxes of browsers need, since nothing can be mounted within them either.

namespace launcher {

namespace {

/** An architecture whose programs this kernel may run, and the numbers of its calls. */
struct Machine {
  uint32_t arch;
  std::vector<uint32_t> refused;
  uint32_t socket;
};

#if defined(__x86_64__)
constexpr uint32_t kNative = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kNative = AUDIT_ARCH_AARCH64;
#else
#error "the filter does not know this machine's calls"
#endif

/** Calls for keys, mounts, code in the kernel, looking into the kernel, and administration. */
const std::vector<Machine> kMachines = {
    {kNative,
     {SYS_add_key,     SYS_request_key,       SYS_keyctl,    SYS_mount,       SYS_umount2, SYS_pivot_root,   SYS_open_by_handle_at,
      SYS_bpf,         SYS_userfaultfd,       SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module, SYS_delete_module,
      SYS_perf_event_open, SYS_syslog,        SYS_reboot,    SYS_swapon,      SYS_swapoff, SYS_acct,         SYS_quotactl},
     SYS_socket},
#if defined(__x86_64__)
    // Programs for 32 bits are still about. The same in their numbers, with the old umount, and socketcall, which hides what it asks for.
    {AUDIT_ARCH_I386, {286, 287, 288, 21, 52, 22, 217, 342, 357, 374, 283, 128, 350, 129, 336, 103, 88, 87, 115, 51, 131, 102}, 359},
#endif
};

/** Newer calls have the same number on every architecture. */
const std::vector<uint32_t> kRefusedEverywhere = {
    // io_uring_*: threads of the kernel do their work, which nothing stops when the command is stopped.
    425, 426, 427,
    // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, open_tree_attr
    428, 429, 430, 431, 432, 433, 442, 467,
    // quotactl_fd
    443,
};

/** From here on calls of x86-64 are those of x32, with numbers of their own. */
constexpr uint32_t kX32 = 0x40000000;

using Program = std::vector<sock_filter>;

/** What applies from each number on, in ascending order. */
using Steps = std::vector<std::pair<uint32_t, uint32_t>>;

sock_filter Load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }

sock_filter Return(uint32_t what) { return BPF_STMT(BPF_RET | BPF_K, what); }

/** Skips some instructions unless what was loaded is `value`. */
sock_filter Unless(uint32_t value, size_t skipped) { return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, static_cast<uint8_t>(skipped)); }

void Append(Program* program, const Program& part) { program->insert(program->end(), part.begin(), part.end()); }

Steps StepsOf(const Machine& machine) {
  std::set<uint32_t> refused(machine.refused.begin(), machine.refused.end());
  refused.insert(kRefusedEverywhere.begin(), kRefusedEverywhere.end());
  Steps steps = {{0, SECCOMP_RET_ALLOW}};
  for (const uint32_t number : refused) {
    // The range before may end at this number.
    if (steps.back().first == number) steps.pop_back();
    else steps.push_back({number, SECCOMP_RET_ERRNO | EPERM});
    steps.push_back({number + 1, SECCOMP_RET_ALLOW});
  }
  if (machine.arch == AUDIT_ARCH_X86_64) steps.push_back({kX32, SECCOMP_RET_ERRNO | ENOSYS});
  return steps;
}

/** A binary search, because the kernel runs a new filter for every call number once, for each command. */
Program Search(const Steps& steps, size_t from, size_t to) {
  if (to - from == 1) return {Return(steps[from].second)};
  const size_t middle = (from + to) / 2;
  const Program below = Search(steps, from, middle);
  Program program = {BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, steps[middle].first, static_cast<uint8_t>(below.size()), 0)};
  Append(&program, below);
  Append(&program, Search(steps, middle, to));
  return program;
}

/** The filter for the calls of one architecture. */
Program ProgramFor(const Machine& machine) {
  const Steps steps = StepsOf(machine);
  Program program = {
      Load(offsetof(seccomp_data, nr)),
      Unless(machine.socket, 4),
      Load(offsetof(seccomp_data, args)),
      // Sockets to the host of a virtual machine, which belong to no network namespace.
      Unless(AF_VSOCK, 1),
      Return(SECCOMP_RET_ERRNO | EAFNOSUPPORT),
      Return(SECCOMP_RET_ALLOW),
  };
  Append(&program, Search(steps, 0, steps.size()));
  return program;
}

Program WholeProgram() {
  Program program = {Load(offsetof(seccomp_data, arch))};
  for (const Machine& machine : kMachines) {
    const Program part = ProgramFor(machine);
    program.push_back(Unless(machine.arch, part.size()));
    Append(&program, part);
  }
  program.push_back(Return(SECCOMP_RET_ERRNO | ENOSYS));
  return program;
}

/** Compiled once, in the launcher. */
Program whole = WholeProgram();

}  // namespace

bool RefuseCalls() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  const sock_fprog filter{static_cast<unsigned short>(whole.size()), whole.data()};
  // Without this flag old kernels turn on a slower handling of branches for the command.
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) == 0;
}

}  // namespace launcher
