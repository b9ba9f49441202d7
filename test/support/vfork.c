// vfork MILLISECONDS: starts a process that does nothing for so long, again and again, each time
// waiting within vfork(2), where a process can't be stopped, and then four times as long elsewhere.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const long milliseconds = argc > 1 ? atol(argv[1]) : 1;
  const struct timespec child = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  const struct timespec rest = {4 * milliseconds / 1000, 4 * milliseconds % 1000 * 1000000};
  for (;;) {
    if (vfork() == 0) {
      nanosleep(&child, NULL);
      _exit(0);
    }
    wait(NULL);
    nanosleep(&rest, NULL);
  }
}
