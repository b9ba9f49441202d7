// The engine's `setup`: what is the same for all commands of this worker.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "environment.h"
#include "rights.h"
#include "session.h"
#include "sandbox.h"

extern char** environ;

namespace launcher {

namespace {

void MakeFolders(const std::string& path) {
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) mkdir(path.substr(0, end).c_str(), 0755);
}

/** In a container, where the executor has put a tmpfs. */
void WriteSecrets(const Pairs& secrets, const User& user) {
  for (const auto& [path, bytes] : secrets) {
    MakeFolders(path);
    unlink(path.c_str());
    const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    const bool good = file && WriteAll(file.get(), bytes.data(), bytes.size()) && (!user.other || fchown(file.get(), user.id, user.group) == 0);
    if (!good) throw Failure{0, "the secret " + path + " can't be written: " + std::strerror(errno)};
  }
}

}  // namespace

void Session::Setup(Reader reader) {
  if (reader.U8() != kVersion) throw Failure{0, "the engine uses another version of the protocol"};
  for (char** variable = environ; *variable != nullptr; variable++) {
    if (std::strchr(*variable, '=') != nullptr) manner_.env.push_back(*variable);
  }
  if (!namespaces_) {
    // Kubernetes gives these to every container: they differ from pod to pod, and from cluster to cluster.
    Remove(&manner_.env, "KUBERNETES_");
    Remove(&manner_.env, "JOB_COMPLETION_INDEX=");
  }
  const Texts given = reader.List();
  const Pairs secrets = reader.ListOfFiles();
  manner_.user = FindUser(reader.Text());
  // Root's, which a container engine gives to whom it starts.
  if (!namespaces_ && manner_.user.other) Remove(&manner_.env, "HOME=");
  SetAll(&manner_.env, given);
  manner_.folder = reader.Text();
  manner_.processes_max = reader.U32();
  manner_.lifeline[0] = lifeline_read_.get();
  manner_.lifeline[1] = lifeline_write_.get();
  const Texts scratch = reader.List();
  // Elsewhere these are folders of the machine.
  if (is_first_) traces_.SetScratch(scratch);
  const std::string changes = reader.Text();
  owner_ = {reader.U32(), reader.U32()};
  manner_.has_sandbox = reader.Flag();
  if (manner_.has_sandbox != namespaces_) Malformed();
  std::string output = "/pfs/out";
  memory_files_ = {"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"};
  if (manner_.has_sandbox) {
    SandboxPlan plan{reader.Text(), reader.ListOfPairs(), reader.List(), reader.Flag(), reader.Flag(), reader.List(), reader.Text()};
    reader.End();
    output = plan.slot + "/out";
    memory_files_.clear();
    for (const std::string& folder : plan.cgroups) {
      for (const char* name : {"/memory.events", "/memory.oom_control"}) memory_files_.push_back(folder + name);
    }
    manner_.scratch = plan.scratch;
    next_ = MakeSandbox(plan, secrets, manner_.user.id, manner_.user.group);
    if (!BoundRights()) throw Failure{errno, "the rights of commands can't be taken"};
  } else {
    reader.End();
    WriteSecrets(secrets, manner_.user);
    next_ = ListenForNext(false);
  }
  output_ = HoldFolder(output);
  if (!Has(manner_.env, "HOME=")) manner_.env.push_back("HOME=" + manner_.user.home);
  if (!Has(manner_.env, "PATH=")) manner_.env.push_back("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  // Commands must not look into this process, which knows their secrets and their successors'.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (!changes.empty()) traces_.Begin(changes);
  is_set_up_ = true;
  stream_.Queue(Writer(kReady).U8(kVersion).Done());
}

}  // namespace launcher
