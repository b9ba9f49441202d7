#include "next.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace launcher {

namespace {

constexpr size_t kAnswerBytesMax = 16u << 20;

/** `@name` is an abstract one. Returns the length to use. */
socklen_t Address(const std::string& name, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (name.empty() || name.size() >= sizeof address->sun_path) return 0;
  std::memcpy(address->sun_path, name.data(), name.size());
  if (name[0] == '@') address->sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (name[0] == '@' ? 0 : 1));
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool ReadAll(int fd, char* data, size_t size) {
  while (size > 0) {
    const ssize_t got = read(fd, data, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    data += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

/** `NAME=value` as a line that a shell takes for a variable. */
void PrintVariable(const char* variable) {
  const char* value = std::strchr(variable, '=');
  if (value == nullptr) return;
  std::string line = "export " + std::string(variable, value + 1) + "'";
  for (const char* at = value + 1; *at != '\0'; at++) line += *at == '\'' ? std::string("'\\''") : std::string(1, *at);
  std::printf("%s'\n", line.c_str());
}

/** What both ends of a pipe have in common; 0 for what is no pipe. */
uint64_t PipeOf(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) ? status.st_ino : 0;
}

int Complain(const std::string& name, const char* why) {
  std::fprintf(stderr, "%s: %s\n", name.c_str(), why);
  return 1;
}

}  // namespace

NextSocket ListenForNext(bool has_sandbox) {
  std::string name = "pach-bin/socket";
  if (!has_sandbox) {
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != sizeof random) throw Failure{errno, "no random numbers"};
    name = "@pach-next-";
    for (const unsigned char byte : random) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", byte);
      name += digits;
    }
  }
  sockaddr_un address{};
  const socklen_t length = Address(name, &address);
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener.get(), 16) != 0) {
    throw Failure{errno, std::string("no socket for next datum: ") + std::strerror(errno)};
  }
  // Another user than the launcher's may ask.
  if (has_sandbox) chmod(name.c_str(), 0666);
  return {std::move(listener), has_sandbox ? "/" + name : name};
}

bool AnswerNext(int client, const Texts& env, int log) {
  std::string answer = std::to_string(PipeOf(log)) + '\0';
  for (const std::string& variable : env) answer += variable + '\0';
  const auto size = static_cast<uint32_t>(answer.size());
  std::string head;
  for (int i = 0; i < 4; i++) head += static_cast<char>(size >> (8 * i));
  answer = head + answer;
  // A client waits for nothing else, and a socket takes this much or it is refused.
  return answer.size() <= kAnswerBytesMax && send(client, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(answer.size());
}

bool IsNextName(const std::string& name) { return BaseName(name) == "next" || BaseName(name) == "pachctl"; }

int AskForNext(int argc, char** argv) {
  const std::string name = BaseName(argv[0]);
  int at = 1;
  if (name == "pachctl" && (argc <= at || std::strcmp(argv[at++], "next") != 0)) return Complain(name, "only `pachctl next datum` works here, because this is not a Pachyderm cluster");
  if (argc <= at || std::strcmp(argv[at++], "datum") != 0) return Complain(name, "usage: next datum [--error TEXT]");
  uint8_t failed = 0;
  for (; at < argc; at++) {
    const std::string argument = argv[at];
    if (argument == "--error" && at + 1 < argc) failed = *argv[++at] != '\0';
    else if (argument.compare(0, 8, "--error=") == 0) failed = argument.size() > 8;
    else return Complain(name, "usage: next datum [--error TEXT]");
  }
  const char* place = std::getenv("PACH_NEXT");
  if (place == nullptr) return Complain(name, "there are no datums to ask for: the pipeline's spec must have datum_batching, and PACH_NEXT must not be unset");
  sockaddr_un address{};
  const socklen_t length = Address(place, &address);
  const Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!server || length == 0 || connect(server.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return Complain(name, std::strerror(errno));
  char head[4];
  if (!WriteAll(server.get(), reinterpret_cast<const char*>(&failed), 1) || !ReadAll(server.get(), head, sizeof head)) return Complain(name, "the launcher has gone");
  uint32_t size = 0;
  for (int i = 0; i < 4; i++) size |= static_cast<uint32_t>(static_cast<unsigned char>(head[i])) << (8 * i);
  if (size > kAnswerBytesMax) return Complain(name, "the launcher's answer is too long");
  std::string answer(size, '\0');
  if (!ReadAll(server.get(), answer.data(), size)) return Complain(name, "the launcher has gone");
  // In the log variables would be of no use, and seen.
  const char* first = answer.c_str() + std::strlen(answer.c_str()) + 1;
  const bool is_log = PipeOf(1) != 0 && PipeOf(1) == std::strtoull(answer.c_str(), nullptr, 10);
  if (name == "pachctl" || is_log) return 0;
  for (const char* variable = first; variable < answer.c_str() + size; variable += std::strlen(variable) + 1) PrintVariable(variable);
  return 0;
}

}  // namespace launcher
