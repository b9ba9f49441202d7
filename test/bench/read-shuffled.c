/*
 * Reads files, or blocks of one file, by several processes: each takes the next of the list, one after
 * another, to its end. Prints how many were read, their bytes and the seconds that took, and the same
 * of what was read after the first second.
 *
 *   read-shuffled PROCESSES SECONDS files FOLDER    < names, a line each
 *   read-shuffled PROCESSES SECONDS blocks FILE     < offset and length, a line each
 *   read-shuffled PROCESSES SECONDS mapped FILE     < the same, through a mapping of the file
 *
 * It stops after so many seconds.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kBuffer = 1 << 20, kLine = 4096 };

struct shared {
  atomic_size_t next, count, bytes, late_count, late_bytes;
};

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void fail(const char* what) {
  perror(what);
  exit(1);
}

/* Bytes of a file. */
static size_t read_file(int folder, const char* name, char* buffer) {
  const int file = openat(folder, name, O_RDONLY);
  if (file < 0) fail(name);
  size_t total = 0;
  for (ssize_t got; (got = read(file, buffer, kBuffer)) != 0; total += (size_t)got)
    if (got < 0) fail(name);
  close(file);
  return total;
}

static size_t read_block(int file, const char* line, char* buffer) {
  char* rest;
  const off_t offset = strtoll(line, &rest, 10);
  const size_t length = strtoull(rest, NULL, 10);
  size_t total = 0;
  for (ssize_t got; total < length; total += (size_t)got)
    if ((got = pread(file, buffer, length - total, offset + (off_t)total)) <= 0) fail("pread");
  return total;
}

/* All bytes of a block are added up where they are mapped. */
static size_t read_mapped(const unsigned char* map, const char* line) {
  char* rest;
  const size_t offset = strtoull(line, &rest, 10), length = strtoull(rest, NULL, 10);
  unsigned long long sum = 0;
  for (size_t at = 0; at + 8 <= length; at += 8) {
    unsigned long long word;
    memcpy(&word, map + offset + at, sizeof word);
    sum += word;
  }
  __asm__ volatile("" : : "r"(sum));
  return length;
}

int main(int count, char** words) {
  if (count != 5) return 2;
  const int processes = atoi(words[1]), is_files = strcmp(words[3], "files") == 0, is_mapped = strcmp(words[3], "mapped") == 0;
  const double seconds = atof(words[2]);
  char** lines = NULL;
  size_t all = 0;
  for (char line[kLine]; fgets(line, sizeof line, stdin); all++) {
    line[strcspn(line, "\n")] = 0;
    if ((all & (all + 1)) == 0 && !(lines = realloc(lines, 2 * (all + 1) * sizeof *lines))) fail("realloc");
    lines[all] = strdup(line);
  }
  struct shared* shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  const double begun = now();
  for (int n = 0; n < processes; n++) {
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) continue;
    const int at = open(words[4], is_files ? O_RDONLY | O_DIRECTORY : O_RDONLY);
    if (at < 0) fail(words[4]);
    char* buffer = malloc(kBuffer);
    struct stat info;
    if (fstat(at, &info) != 0) fail("fstat");
    const void* map = is_mapped ? mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, at, 0) : NULL;
    if (map == MAP_FAILED) fail("mmap");
    for (size_t index; (index = atomic_fetch_add(&shared->next, 1)) < all;) {
      const double since = now() - begun;
      if (since > seconds) break;
      const size_t bytes = is_files    ? read_file(at, lines[index], buffer)
                           : is_mapped ? read_mapped(map, lines[index])
                                       : read_block(at, lines[index], buffer);
      atomic_fetch_add(&shared->count, 1);
      atomic_fetch_add(&shared->bytes, bytes);
      if (since < 1) continue;
      atomic_fetch_add(&shared->late_count, 1);
      atomic_fetch_add(&shared->late_bytes, bytes);
    }
    exit(0);
  }
  int failed = 0;
  for (int status; wait(&status) > 0;) failed |= status;
  const double took = now() - begun;
  printf("%zu %zu %.6f %zu %zu %.6f\n", shared->count, shared->bytes, took, shared->late_count, shared->late_bytes, took - 1);
  return failed != 0;
}
