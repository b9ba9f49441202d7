// Reads random parts of a file of a mount, by read(2) or through a memory mapping, and compares them
// with the file that it was made from; then lets the kernel forget its pages.
// Usage: read-parts read|mmap SEED COUNT MOUNTED SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kPartMax = 300000 };

static void fail(const char* what) {
  perror(what);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  srandom((unsigned)atol(argv[2]));
  int mounted = open(argv[4], O_RDONLY), source = open(argv[5], O_RDONLY);
  struct stat info;
  if (mounted < 0 || source < 0 || fstat(source, &info) != 0) fail("open");
  const size_t size = (size_t)info.st_size;
  char* map = NULL;
  if (strcmp(argv[1], "mmap") == 0) {
    map = mmap(NULL, size, PROT_READ, MAP_SHARED, mounted, 0);
    if (map == MAP_FAILED) fail("mmap");
  }
  static char got[kPartMax], wanted[kPartMax];
  for (long left = atol(argv[3]); left > 0; --left) {
    const size_t at = (size_t)random() % size;
    size_t length = 1 + (size_t)random() % kPartMax;
    if (length > size - at) length = size - at;
    if (pread(source, wanted, length, (off_t)at) != (ssize_t)length) fail("source");
    if (map == NULL && pread(mounted, got, length, (off_t)at) != (ssize_t)length) fail("read");
    if (memcmp(map == NULL ? got : map + at, wanted, length) != 0) {
      const char* bytes = map == NULL ? got : map + at;
      size_t wrong = 0, zeros = 0;
      for (size_t i = 0; i < length; ++i) wrong += bytes[i] != wanted[i], zeros += bytes[i] != wanted[i] && bytes[i] == 0;
      fprintf(stderr, "%s: of %zu bytes at %zu, %zu are others, %zu of them zeros\n", argv[4], length, at, wrong, zeros);
      return 1;
    }
  }
  if (map != NULL) munmap(map, size);
  posix_fadvise(mounted, 0, 0, POSIX_FADV_DONTNEED);
  return 0;
}
