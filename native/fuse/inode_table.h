// The inodes that the kernel knows: flat records in a memory file, found by number, and a hash
// index from (parent, ordinal). A process that gets the file's descriptor maps the same table, so
// that a restarted server answers for inodes that the kernel still has. Its predecessor may have
// been killed at any moment, so whatever follows from the records is worked out again then.
//
// In a mount whose names move, a file with the same path and content in another version is the same
// inode, so that the kernel goes on with its pages. It then belongs to the directory in which it was found
// last. Directories are not shared: each is of one version.
#pragma once

#include <cstdint>
#include <mutex>

/** What a view says of an entry, as it lies in the table. */
struct Node {
  uint64_t parent;
  uint64_t ordinal;
  /** Says the path where names move, else 0. The table sets it, but for that of the root. */
  uint64_t path;
  uint64_t size;
  int64_t mtime_seconds;
  uint32_t mtime_nanoseconds;
  uint8_t kind;  // 0 file, 1 directory, 2 symlink
  uint8_t executable;
  uint8_t ref;  // 0 none, 1 chunk, 2 node, 3 bytes outside of the store
  uint8_t place;
  uint8_t hash[32];  // of what it refers to; without a ref, of the content that lies in the directory
  uint8_t pack[16];
  uint32_t place_offset, place_length;
};

/** How a file is open: the kernel wants one way for all that have it open at once. */
struct Opening {
  uint32_t count;
  int32_t backing;  // the number of the file lent to the kernel; 0: it asks us for the bytes
};

struct Inode {
  Node node;
  uint32_t lookups;   // that the kernel holds; 0 and no children: the record is free
  uint32_t children;  // records in use whose parent this is
  uint32_t generation;
  uint32_t next;  // in a chain of the index, or of free records
  Opening opening;
};
static_assert(sizeof(Node) == 104 && sizeof(Inode) == 128);

class InodeTable {
 public:
  /** A memory file for a new table; throws std::system_error. */
  static int CreateFile();
  /** Maps the table of `fd`, which stays the caller's; begins it when the file is new. Throws std::system_error. */
  explicit InodeTable(int fd);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  /**
   * The number of this entry of that name, with one more lookup of the kernel; `node` gets its path. A number stays with what it was
   * given for: where another entry has come to the same place, that has a number of its own, and who
   * has the old one open goes on with it. Throws std::system_error: ESTALE when the parent is not
   * known, else when there is no memory.
   */
  uint64_t Intern(Node* node, const char* name, size_t name_length, uint32_t* generation);
  /** Takes back lookups; frees what nobody needs. True when that was this inode. */
  bool Forget(uint64_t ino, uint64_t lookups);
  /** False when the number is not known. */
  bool Get(uint64_t ino, Node* node);
  /** The same with its directory, and the ordinal of the root's entry that it is or lies under; null: not wanted. */
  bool Get(uint64_t ino, Node* node, Node* directory, uint64_t* top);
  void SetRoot(const Node& node);
  /** Nobody has an unknown inode open. */
  Opening GetOpening(uint64_t ino);
  void SetOpening(uint64_t ino, Opening opening);
  /** Inodes that are known, with the root. */
  uint64_t Count();

  /** What the kernel and a server have agreed on; false before. */
  bool Negotiated(uint32_t* minor, uint64_t* flags);
  void SetNegotiated(uint32_t minor, uint64_t flags);
  /** These flags hold no longer. */
  void EndNegotiated(uint64_t flags);

 private:
  struct Header;
  Header* header() const;
  Inode* record(uint64_t ino) const;
  uint64_t* buckets() const;
  bool Known(uint64_t ino) const;
  uint64_t* Bucket(const Node& node) const;
  uint64_t Find(const Node& node) const;
  void Link(uint64_t ino);
  void Unlink(uint64_t ino);
  void MoveTo(uint64_t ino, const Node& node);
  void Begin();
  void Recover();
  void Reindex();
  void Grow();
  void Resize(uint64_t capacity);
  void Release(uint64_t ino);

  int fd_;
  uint8_t* base_ = nullptr;
  uint64_t mapped_ = 0;
  std::mutex mutex_;
};
