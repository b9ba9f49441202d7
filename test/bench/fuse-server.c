/*
 * The least that a mount takes: a plain server on /dev/fuse that knows all its answers.
 *
 *   fuse-server MOUNTPOINT FOLDERS FILES FILE_BYTES ZEROS THREADS READ_AHEAD_KIB
 *
 * It shows folder-0000/file-0000 and so on, as writeTree of inputs.mjs names them (FILES in all, of
 * FILE_BYTES each, in folders of equal size), and a file `zeros` of so many bytes. The kernel may keep all of it for
 * ever, opens are answered once and for all, and folders come with their attributes. The kernel reads so much
 * ahead; 0: as much as for a mount of an ordinary user, who can't ask for more. As root: it
 * mounts by mount(2), and returns when the mount is there; what serves it ends with the mount.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kName = 16, kRequestBytes = 1 << 20, kReplyBytes = 1 << 20 };
static const uint64_t kForEver = UINT64_MAX / 2;
static const char kZerosName[] = "zeros";

static int device;
static uint64_t folders, files, file_bytes, zeros_bytes;
static char (*folder_names)[kName];
static char (*file_names)[kName];
static char zeros[kReplyBytes];

/* Inodes: the root, then the folders, then the files, then the file of zeros. */
static uint64_t FolderIno(uint64_t folder) { return FUSE_ROOT_ID + 1 + folder; }
static uint64_t FileIno(uint64_t file) { return FolderIno(folders) + file; }
static uint64_t ZerosIno(void) { return FileIno(files); }
static int IsFolder(uint64_t ino) { return ino < FolderIno(folders); }
static uint64_t FirstFile(uint64_t folder) { return files * folder / folders; }

static struct fuse_attr AttrOf(uint64_t ino) {
  struct fuse_attr attr = {.ino = ino, .nlink = 1, .blksize = 4096};
  attr.mode = IsFolder(ino) ? S_IFDIR | 0755 : S_IFREG | 0644;
  if (!IsFolder(ino)) attr.size = ino == ZerosIno() ? zeros_bytes : file_bytes;
  attr.blocks = (attr.size + 511) / 512;
  return attr;
}

static struct fuse_entry_out EntryOf(uint64_t ino) {
  return (struct fuse_entry_out){.nodeid = ino, .entry_valid = kForEver, .attr_valid = kForEver, .attr = AttrOf(ino)};
}

static void Reply(uint64_t unique, int error, const void* data, size_t bytes) {
  struct fuse_out_header header = {.len = (uint32_t)(sizeof header + bytes), .error = -error, .unique = unique};
  struct iovec parts[] = {{&header, sizeof header}, {(void*)data, bytes}};
  /* ENOENT: whoever asked was interrupted; ENODEV: the mount is gone, and the next read says so. */
  if (writev(device, parts, 2) < 0 && errno != ENOENT && errno != ENODEV) perror("fuse-server: reply");
}

/* The entry at a position of a folder; 0 when it has no more. */
static uint64_t EntryAt(uint64_t ino, uint64_t position, const char** name) {
  if (ino == FUSE_ROOT_ID) {
    if (position > folders) return 0;
    *name = position == folders ? kZerosName : folder_names[position];
    return position == folders ? ZerosIno() : FolderIno(position);
  }
  uint64_t file = FirstFile(ino - FolderIno(0)) + position;
  if (file >= FirstFile(ino - FolderIno(0) + 1)) return 0;
  *name = file_names[position];
  return FileIno(file);
}

static uint64_t Find(uint64_t ino, const char* wanted) {
  uint64_t position = strcmp(wanted, kZerosName) == 0 ? folders : strtoull(wanted + strcspn(wanted, "0123456789"), NULL, 10);
  const char* name;
  uint64_t found = IsFolder(ino) ? EntryAt(ino, position, &name) : 0;
  return found != 0 && strcmp(name, wanted) == 0 ? found : 0;
}

/* `.` and `..` come first, without an inode that the kernel would have to forget. */
static void ReplyFolder(uint64_t unique, uint64_t ino, const struct fuse_read_in* in, int plus, char* reply) {
  size_t limit = in->size < kReplyBytes ? in->size : kReplyBytes, used = 0;
  for (uint64_t offset = in->offset;; offset++) {
    const char* name = offset == 0 ? "." : "..";
    uint64_t found = offset < 2 ? ino : EntryAt(ino, offset - 2, &name);
    if (found == 0) break;
    size_t length = strlen(name), before = plus ? sizeof(struct fuse_entry_out) : 0;
    size_t bytes = FUSE_DIRENT_ALIGN(before + FUSE_NAME_OFFSET + length);
    if (used + bytes > limit) break;
    memset(reply + used, 0, bytes);
    if (plus) {
      struct fuse_entry_out entry = EntryOf(found);
      if (offset < 2) entry.nodeid = 0;
      memcpy(reply + used, &entry, sizeof entry);
    }
    struct fuse_dirent* dirent = (struct fuse_dirent*)(reply + used + before);
    dirent->ino = found;
    dirent->off = offset + 1;
    dirent->namelen = (uint32_t)length;
    dirent->type = IsFolder(found) ? S_IFDIR >> 12 : S_IFREG >> 12;
    memcpy(dirent->name, name, length);
    used += bytes;
  }
  Reply(unique, 0, reply, used);
}

static void ReplyInit(uint64_t unique, const struct fuse_init_in* in) {
  uint32_t wanted = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                    FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT | FUSE_CACHE_SYMLINKS;
  struct fuse_init_out out = {
      .major = FUSE_KERNEL_VERSION,
      .minor = FUSE_KERNEL_MINOR_VERSION,
      .max_readahead = in->max_readahead,
      .flags = in->flags & wanted,
      .max_background = 128,
      .congestion_threshold = 96,
      .max_write = kRequestBytes - 4096,
      .time_gran = 1,
      .max_pages = 256,
  };
  Reply(unique, 0, &out, sizeof out);
}

static void Answer(const struct fuse_in_header* header, char* reply) {
  const void* body = header + 1;
  uint64_t unique = header->unique, ino = header->nodeid;
  switch (header->opcode) {
    case FUSE_INIT:
      return ReplyInit(unique, body);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
      return;
    case FUSE_LOOKUP: {
      /* An entry without an inode: the kernel remembers that the name is absent. */
      uint64_t found = Find(ino, body);
      struct fuse_entry_out entry = {.entry_valid = kForEver};
      if (found != 0) entry = EntryOf(found);
      return Reply(unique, 0, &entry, sizeof entry);
    }
    case FUSE_GETATTR: {
      struct fuse_attr_out out = {.attr_valid = kForEver, .attr = AttrOf(ino)};
      return Reply(unique, 0, &out, sizeof out);
    }
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return ReplyFolder(unique, ino, body, header->opcode == FUSE_READDIRPLUS, reply);
    case FUSE_READ: {
      const struct fuse_read_in* in = body;
      uint64_t size = AttrOf(ino).size, left = in->offset < size ? size - in->offset : 0;
      size_t bytes = in->size < sizeof zeros ? in->size : sizeof zeros;
      return Reply(unique, 0, zeros, left < bytes ? (size_t)left : bytes);
    }
    case FUSE_STATFS: {
      struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = 255}};
      return Reply(unique, 0, &out, sizeof out);
    }
    case FUSE_DESTROY:
      return Reply(unique, 0, NULL, 0);
    default:
      return Reply(unique, ENOSYS, NULL, 0);
  }
}

static void* Serve(void* nothing) {
  char* request = aligned_alloc(4096, kRequestBytes + 4096);
  char* reply = aligned_alloc(4096, kReplyBytes);
  for (;;) {
    ssize_t got = read(device, request, kRequestBytes + 4096);
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
    if (got <= 0) exit(0); /* unmounted */
    Answer((const struct fuse_in_header*)request, reply);
  }
  return nothing;
}

/* Never touches the mount itself. */
static void RaiseReadahead(const char* mountpoint, const char* kib) {
  FILE* table = fopen("/proc/self/mountinfo", "r");
  char line[8192], number[32], path[4096], control[128];
  while (table && fgets(line, sizeof line, table)) {
    if (sscanf(line, "%*s %*s %31s %*s %4095s", number, path) != 2 || strcmp(path, mountpoint) != 0) continue;
    snprintf(control, sizeof control, "/sys/class/bdi/%s/read_ahead_kb", number);
    FILE* setting = fopen(control, "w");
    if (setting) fputs(kib, setting), fclose(setting);
  }
  if (table) fclose(table);
}

static char (*Names(const char* kind, uint64_t count))[kName] {
  char(*names)[kName] = calloc(count + 1, kName);
  for (uint64_t n = 0; names && n < count; n++) snprintf(names[n], kName, "%s-%04u", kind, (unsigned)n);
  return names;
}

int main(int argc, char** argv) {
  if (argc != 8) return fputs("fuse-server: MOUNTPOINT FOLDERS FILES FILE_BYTES ZEROS THREADS READ_AHEAD_KIB\n", stderr), 2;
  folders = strtoull(argv[2], NULL, 10);
  files = strtoull(argv[3], NULL, 10);
  file_bytes = strtoull(argv[4], NULL, 10);
  zeros_bytes = strtoull(argv[5], NULL, 10);
  folder_names = Names("folder", folders);
  file_names = Names("file", folders > 0 ? files / folders + 1 : 0);
  device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  char options[128];
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", device);
  if (device < 0 || mount("bench", argv[1], "fuse.bench", MS_RDONLY | MS_NOSUID | MS_NODEV, options) != 0)
    return perror("fuse-server: mount"), 1;
  if (strcmp(argv[7], "0") != 0) RaiseReadahead(argv[1], argv[7]);
  if (fork() != 0) return 0;
  setsid();
  for (long n = strtol(argv[6], NULL, 10); n > 1; n--) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Serve, NULL) != 0) return perror("fuse-server: thread"), 1;
  }
  Serve(NULL);
}
