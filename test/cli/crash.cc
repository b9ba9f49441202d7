// Fails as programs in C++ do: `crash segv|abort|oom`.
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

int main(int, char** words) {
  const std::string how = words[1];
  if (how == "segv") *static_cast<volatile int*>(nullptr) = 1;
  if (how == "abort") throw std::runtime_error("no such colour");
  for (;;) std::memset(std::malloc(1 << 20), 1, 1 << 20);
}
