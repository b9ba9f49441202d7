// The native threads of a mount under load, for the thread sanitizer (Node itself does not run under
// it): a session of native/fuse with its reading, writing and interrupting threads, and the fetching
// threads of native/fetch that fill the files which reads are answered from. This program is the
// kernel on one side, several askers at once, and JavaScript on the other: one thread that takes
// requests and replies in all the ways there are. What is read is compared. First the parts of a session
// are looked at one by one.
// Usage: threads FOLDER SECONDS; ends with 0 when all was right.
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../data/errors.h"
#include "files.h"
#include "kernel.h"
#include "parts.h"
#include "script.h"

// data/errors.cc is for JavaScript.
SystemError::SystemError(int error, const char* call, std::string where)
    : std::runtime_error(std::strerror(error)), code(std::to_string(error)), syscall(call), path(std::move(where)) {}

using namespace threads;

namespace {

/** Mounts, serves, unmounts; a second time with the table of the first. */
void Serve(Script* script, bool first, Clock::time_point end, unsigned seed) {
  Kernel kernel;
  std::thread serving([&] { script->Run(kernel.device()); });
  if (first) {
    fuse::InitIn in{7, 45, 1 << 17, 0x73fffffb, 0x5fd, {}};
    if (kernel.Ask(fuse::kInit, 0, in).error != 0) Fail("init");
  }
  std::vector<std::thread> askers;
  for (unsigned i = 0; i < kAskers; ++i) {
    askers.emplace_back([&kernel, end, seed, i] { Asker(&kernel, seed + i).Run(end); });
  }
  for (std::thread& asker : askers) asker.join();
  kernel.Unmount();
  serving.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto half = std::chrono::milliseconds(500 * std::atoi(argv[2]));
  Files files(argv[1]);
  CheckParts(&files);
  const int fd = InodeTable::CreateFile();
  for (unsigned turn = 0; turn < 2 && !failed; ++turn) {
    auto table = std::make_shared<InodeTable>(fd);
    if (turn == 0) table->SetRoot(Root());
    Script script(&files, table);
    Serve(&script, turn == 0, Clock::now() + half, 100 * (turn + 1));
  }
  close(fd);
  return failed ? 1 : 0;
}
