// mover MOUNTPOINT: does for the server of a mount that follows branches what may wait for answers of
// that very server. It looks names up in the mount, and has the kernel drop names that it keeps.
//
// A server that did this by itself could wait for itself, and could not even be killed then: a thread
// that waits for the lock of a directory can't be ended, and the lock is held until the server answers.
// This process waits instead. If the server dies meanwhile, the next one answers.
//
// Messages on standard input: a byte that says what to do, the length of a name (4 bytes, little
// endian), the name. Each is answered by one byte on standard output, in order. Descriptor 3 is the
// device. The names are those of the root directory. Ends with its input.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

namespace {

constexpr int kDevice = 3;
constexpr uint64_t kRootIno = 1;
constexpr uint32_t kNameMax = 255;
// Facts: Linux, include/uapi/linux/fuse.h, protocol 7.38.
constexpr int32_t kInvalInode = 2, kInvalEntry = 3;
constexpr uint32_t kExpireOnly = 1;

struct OutHeader {
  uint32_t len;
  int32_t code;
  uint64_t unique;
};
struct InvalInode {
  uint64_t ino;
  int64_t offset, length;
};
struct InvalEntry {
  uint64_t parent;
  uint32_t name_length, flags;
};
static_assert(sizeof(OutHeader) == 16 && sizeof(InvalInode) == 24 && sizeof(InvalEntry) == 16);

bool Read(void* into, size_t length) {
  for (size_t done = 0; done < length;) {
    const ssize_t got = read(0, static_cast<uint8_t*>(into) + done, length - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return true;
}

bool Notify(int32_t code, const void* body, size_t body_length, const std::string& name) {
  OutHeader header{static_cast<uint32_t>(sizeof header + body_length), code, 0};
  iovec parts[3] = {{&header, sizeof header}, {const_cast<void*>(body), body_length}, {const_cast<char*>(name.c_str()), name.size() + 1}};
  const int count = name.empty() ? 2 : 3;
  if (count == 3) header.len += static_cast<uint32_t>(name.size() + 1);
  return writev(kDevice, parts, count) >= 0;
}

/** The kernel drops what it knows of a name, or asks again when the name is used next. */
bool DropName(const std::string& name, uint32_t flags) {
  const InvalEntry body{kRootIno, static_cast<uint32_t>(name.size()), flags};
  return Notify(kInvalEntry, &body, sizeof body, name);
}

/** The kernel asks for the attributes of the root again, and with them for the list of its names. */
bool DropRoot() {
  const InvalInode body{kRootIno, -1, 0};
  return Notify(kInvalInode, &body, sizeof body, {});
}

bool LookUp(const char* mountpoint, const std::string& name) {
  struct stat info;
  return fstatat(AT_FDCWD, (std::string(mountpoint) + "/" + name).c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  for (;;) {
    char what;
    uint8_t length[4];
    if (!Read(&what, 1) || !Read(length, sizeof length)) return 0;
    const uint32_t bytes = length[0] | length[1] << 8 | length[2] << 16 | static_cast<uint32_t>(length[3]) << 24;
    if (bytes > kNameMax) return 2;
    std::string name(bytes, '\0');
    if (!Read(name.data(), bytes)) return 0;
    bool done = false;
    if (what == 'l') done = LookUp(arguments[1], name);
    else if (what == 'x') done = DropName(name, kExpireOnly);
    else if (what == 'd') done = DropName(name, 0);
    else if (what == 'r') done = DropRoot();
    const char answer = done ? 1 : 0;
    if (write(1, &answer, 1) != 1) return 0;
  }
}
