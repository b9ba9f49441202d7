#include "kept_answers.h"

#include "../data/hash.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

namespace {

constexpr size_t kNodeBytesMax = 8 << 20, kChunkBytesMax = 8 << 20, kPartBytesMax = 16 << 20;
/** Larger files, of more than a chunk, are files of the disk cache (src/mount/view.ts). */
constexpr uint64_t kFileBytesMax = 8 << 20;
constexpr size_t kWatchedMax = 4096;
constexpr uint8_t kFileKind = 0, kDirectoryKind = 1, kChunkRef = 1, kNodeRef = 2, kOutsideRef = 3;

std::array<uint8_t, 32> KeyOf(const uint8_t* hash) {
  std::array<uint8_t, 32> key;
  std::memcpy(key.data(), hash, key.size());
  return key;
}

template <class Reader, class Item>
bool IsSound(const uint8_t* bytes, size_t length) {
  Reader reader(bytes, length);
  if (!reader.Begin()) return false;
  Item item;
  while (reader.Next(&item)) {
  }
  return reader.Sound();
}

/** A node of a directory or the leaf of a list, understood to its end. */
bool IsUnderstood(const uint8_t* bytes, size_t length) {
  return IsSoundLeaf(bytes, length) || IsSound<TreeInner, TreeInner::Item>(bytes, length) || IsSound<ListLeaf, ListLeaf::Item>(bytes, length);
}

bool PlaceOf(const Node& node, StoredBlobs::Place* place) {
  *place = {node.ref == kChunkRef ? StoredBlobs::Kind::kData : StoredBlobs::Kind::kMeta, node.pack, node.place_offset, node.place_length};
  return node.place != 0;
}

bool PlaceOf(const StoredNode::Ref& ref, StoredBlobs::Place* place) {
  *place = {ref.type == 0 ? StoredBlobs::Kind::kData : StoredBlobs::Kind::kMeta, ref.pack, ref.offset, ref.length};
  return ref.has_place;
}

}  // namespace

KeptAnswers::KeptAnswers(InodeTable& table, EntryWriter& entries, Channel& channel, StoredBlobs& blobs, Counters& counters, const Wake& wake)
    : table_(table),
      entries_(entries),
      channel_(channel),
      blobs_(blobs),
      counters_(counters),
      wake_(wake),
      nodes_(kNodeBytesMax),
      chunks_(kChunkBytesMax),
      parts_(kPartBytesMax) {}

bool KeptAnswers::KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length) {
  if (!IsSoundLeaf(bytes, length)) return false;
  nodes_.Keep(hash, CopyOf(bytes, length));
  return true;
}

/** A node that is understood; from the disk if a place is given. Null where there is none. */
SharedBytes KeptAnswers::NodeOf(const uint8_t* hash, const StoredBlobs::Place* place, OnDisk on_disk) {
  const SharedBytes kept = nodes_.Get(hash);
  if (kept || place == nullptr || on_disk == nullptr) return kept;
  SharedBytes bytes;
  const StoredBlobs::Outcome outcome = blobs_.ReadNode(*place, hash, &bytes);
  if (outcome == StoredBlobs::Outcome::kDamaged) counters_.damaged_reads += 1;
  if (outcome != StoredBlobs::Outcome::kRead || !IsUnderstood(bytes.data, bytes.length)) return {};
  *on_disk = true;
  // Nodes are short, the block that one was read to is not.
  bytes = CopyOf(bytes.data, bytes.length);
  nodes_.Keep(hash, bytes);
  return bytes;
}

/** Goes from a directory's root down to the leaf that has, or would have, what is sought. */
KeptAnswers::Found KeptAnswers::FindLeaf(const Node& directory, const Sought& sought, OnDisk on_disk, Leaf* leaf) {
  if (directory.kind != kDirectoryKind || directory.ref != kNodeRef) return Found::kUnknown;
  StoredBlobs::Place place;
  SharedBytes bytes = NodeOf(directory.hash, PlaceOf(directory, &place) ? &place : nullptr, on_disk);
  uint64_t first = 0;
  while (bytes) {
    TreeInner inner(bytes.data, bytes.length);
    if (!inner.Begin()) {
      *leaf = {std::move(bytes), first};
      return Found::kLeaf;
    }
    TreeInner::Item item;
    for (;;) {
      if (!inner.Next(&item)) return Found::kNothing;
      if (sought.name != nullptr ? *sought.name <= item.last : sought.ordinal < first + item.entries) break;
      first += item.entries;
    }
    SharedBytes child = NodeOf(item.ref->hash, PlaceOf(*item.ref, &place) ? &place : nullptr, on_disk);
    if (!child) return Found::kUnknown;
    // A node must be what the one above says. Of one that is not, JavaScript tells what is wrong.
    TreeLeaf below(child.data, child.length);
    TreeInner inner_below(child.data, child.length);
    const bool is_leaf = inner.level() == 1;
    if (is_leaf ? !below.Begin() || below.count() != item.entries : !inner_below.Begin() || inner_below.level() != inner.level() - 1) {
      return Found::kUnknown;
    }
    bytes = std::move(child);
  }
  return Found::kUnknown;
}

void KeptAnswers::Send(uint64_t unique, const Request& request, uint64_t parent, Found found, const Leaf& leaf) {
  if (found == Found::kNothing) {
    if (request.opcode == fuse::kLookup) return entries_.SendAbsent(unique, kValidForEver);
    return entries_.SendDirectory(unique, request, parent, [](Entry*) { return false; });
  }
  if (request.opcode == fuse::kLookup) entries_.SendEntryOfLeaf(unique, request, leaf.bytes.data, leaf.bytes.length, leaf.first);
  else entries_.SendLeaf(unique, request, parent, leaf.bytes.data, leaf.bytes.length, leaf.first);
}

bool KeptAnswers::AnswerKept(const Request& request, const std::function<std::optional<uint64_t>()>& take) {
  Node node;
  Leaf leaf{};
  if (!table_.Get(request.ino, &node)) return false;
  const Found found = FindLeaf(node, SoughtBy(request), nullptr, &leaf);
  if (found == Found::kUnknown) return false;
  if (const std::optional<uint64_t> unique = take()) Send(*unique, request, node.parent, found, leaf);
  return true;
}

bool KeptAnswers::Answer(uint64_t unique, const Request& request) {
  if (request.opcode == fuse::kRead) return AnswerRead(unique, request);
  Node node;
  Leaf leaf{};
  if (!table_.Get(request.ino, &node)) return false;
  bool from_disk = false;
  const Found found = FindLeaf(node, SoughtBy(request), &from_disk, &leaf);
  if (found == Found::kUnknown) return false;
  counters_.kept_answers += 1;
  // First: who has the answer may ask for the next at once.
  Tell(node, request, from_disk);
  Send(unique, request, node.parent, found, leaf);
  return true;
}

KeptAnswers::Sought KeptAnswers::SoughtBy(const Request& request) {
  if (request.opcode == fuse::kLookup) return {&request.name, 0};
  return {nullptr, request.offset < 2 ? 0 : request.offset - 2};
}

bool KeptAnswers::AnswerRead(uint64_t unique, const Request& request) {
  Node node;
  if (!table_.Get(request.ino, &node) || node.kind != kFileKind || node.ref == kOutsideRef) return false;
  if (request.offset >= node.size) {
    channel_.Send(unique, 0, nullptr, 0);
    return true;
  }
  bool from_disk = false;
  const bool answered = node.ref == kChunkRef || node.ref == kNodeRef ? SendChunks(unique, request, node, &from_disk)
                                                                      : SendInline(unique, request, &from_disk);
  if (!answered) return false;
  counters_.kept_answers += 1;
  // Of what JavaScript has left to us it knows.
  const bool is_known = request.id != 0;
  if (from_disk && !is_known) counters_.stored_reads += 1;
  if (!is_known) Tell(node, request, from_disk);
  return true;
}

void KeptAnswers::SendRange(uint64_t unique, const Request& request, const uint8_t* bytes, uint64_t size) {
  const uint64_t length = std::min<uint64_t>(request.size, size - request.offset);
  if (channel_.Send(unique, 0, bytes + request.offset, length)) counters_.bytes_read += length;
}

/** The chunks that a range of a file has bytes of; `list` keeps what they refer to. False where the file is not understood, or is a large one. */
bool KeptAnswers::ChunksOf(const Node& node, uint64_t from, uint64_t to, OnDisk on_disk, SharedBytes* list, std::vector<Chunk>* chunks) {
  StoredBlobs::Place place;
  const bool has_place = PlaceOf(node, &place);
  if (node.ref == kChunkRef) {
    chunks->push_back({node.hash, node.size, has_place, place, from, to});
    return true;
  }
  if (node.size > kFileBytesMax || !has_place) return false;
  *list = NodeOf(node.hash, &place, on_disk);
  if (!*list) return false;
  ListLeaf leaf(list->data, list->length);
  if (!leaf.Begin()) return false;
  ListLeaf::Item item;
  uint64_t at = 0;
  for (; at < to && leaf.Next(&item); at += item.length) {
    if (at + item.length <= from) continue;
    if (item.ref == nullptr) return false;
    const bool is_placed = PlaceOf(*item.ref, &place);
    chunks->push_back({item.ref->hash, item.length, is_placed, place, std::max(at, from) - at, std::min(at + item.length, to) - at});
  }
  return at >= to;
}

bool KeptAnswers::HasFile(uint64_t ino) {
  Node node;
  bool from_disk = false;
  SharedBytes list;
  std::vector<Chunk> chunks;
  if (!table_.Get(ino, &node) || node.kind != kFileKind || node.size > kFileBytesMax) return false;
  if (!ChunksOf(node, 0, node.size, &from_disk, &list, &chunks)) return false;
  return std::all_of(chunks.begin(), chunks.end(), [this](const Chunk& chunk) { return chunk.has_place && blobs_.Has(chunk.place); });
}

bool KeptAnswers::SendChunks(uint64_t unique, const Request& request, const Node& node, OnDisk on_disk) {
  const uint64_t end = std::min(node.size, request.offset + request.size);
  SharedBytes list;
  std::vector<Chunk> chunks;
  if (!ChunksOf(node, request.offset, end, on_disk, &list, &chunks)) return false;
  // Nothing is read where JavaScript has to read all of it anyway.
  const auto is_here = [this](const Chunk& chunk) { return InMemory(chunk) || (chunk.has_place && blobs_.Has(chunk.place)); };
  if (chunks.size() > 1 && !std::all_of(chunks.begin(), chunks.end(), is_here)) return false;
  std::vector<SharedBytes> held;
  std::vector<iovec> out(1);
  for (const Chunk& chunk : chunks) {
    SharedBytes bytes = BytesOf(chunk, on_disk);
    if (!bytes) return false;
    out.push_back({const_cast<uint8_t*>(bytes.data + chunk.from), chunk.to - chunk.from});
    held.push_back(std::move(bytes));
  }
  if (channel_.SendParts(unique, &out, end - request.offset)) counters_.bytes_read += end - request.offset;
  return true;
}

SharedBytes KeptAnswers::InMemory(const Chunk& chunk) {
  for (KeptBytes* kept : {&chunks_, &parts_}) {
    SharedBytes bytes = kept->Get(chunk.hash);
    if (bytes && bytes.length == chunk.length) return bytes;
  }
  return {};
}

/** All of a chunk; nothing when it is not on this machine. One of which a part is wanted is kept for those who want the rest. */
SharedBytes KeptAnswers::BytesOf(const Chunk& chunk, OnDisk on_disk) {
  if (SharedBytes bytes = InMemory(chunk)) return bytes;
  if (chunk.from == 0 && chunk.to == chunk.length) return Read(chunk, on_disk);
  // The kernel asks for parts of a chunk at once: the first reads, and the others wait for that.
  const Turns::Turn turn(turns_, chunk.hash);
  if (SharedBytes bytes = InMemory(chunk)) return bytes;
  const SharedBytes bytes = Read(chunk, on_disk);
  if (bytes) parts_.Keep(chunk.hash, bytes);
  return bytes;
}

SharedBytes KeptAnswers::Read(const Chunk& chunk, OnDisk on_disk) {
  SharedBytes bytes;
  if (!chunk.has_place) return bytes;
  const StoredBlobs::Outcome outcome = blobs_.ReadChunk(chunk.place, chunk.hash, chunk.length, &bytes);
  if (outcome == StoredBlobs::Outcome::kDamaged) counters_.damaged_reads += 1;
  if (outcome != StoredBlobs::Outcome::kRead) return {};
  *on_disk = true;
  return bytes;
}

/** A file whose bytes lie in the leaf that names it. */
bool KeptAnswers::SendInline(uint64_t unique, const Request& request, OnDisk on_disk) {
  Node node, directory;
  Leaf found{};
  if (!table_.Get(request.ino, &node, &directory, nullptr)) return false;
  if (FindLeaf(directory, {nullptr, node.ordinal}, on_disk, &found) != Found::kLeaf) return false;
  TreeLeaf leaf(found.bytes.data, found.bytes.length);
  TreeLeaf::Entry entry{};
  if (!leaf.Begin() || node.ordinal < found.first) return false;
  for (uint64_t left = node.ordinal - found.first + 1; left > 0; --left) {
    if (!leaf.Next(&entry)) return false;
  }
  if (entry.kind != kFileKind || entry.form != TreeLeaf::kInline || entry.size != node.size) return false;
  const Hash hash = ::HashOf(Domain::kPlain, entry.bytes, entry.size);
  if (std::memcmp(hash.data(), node.hash, sizeof node.hash) != 0) return false;
  SendRange(unique, request, entry.bytes, entry.size);
  return true;
}

void KeptAnswers::Watch(const uint8_t* hash) {
  std::lock_guard<std::mutex> lock(mutex_);
  // What nobody came to. JavaScript hears of the next request that is not answered here.
  if (watched_.size() >= kWatchedMax) watched_.clear();
  watched_.insert(KeyOf(hash));
  watching_ = watched_.size();
}

std::vector<KeptAnswers::Met> KeptAnswers::DrainMet() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(met_, {});
}

/** Tells JavaScript of a request that is answered here, if it wants to hear of it. */
void KeptAnswers::Tell(const Node& node, const Request& request, bool from_disk) {
  if (watching_ == 0 && (hearing_ == 0 || !from_disk)) return;
  bool first;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const bool watched = (request.opcode != fuse::kRead || request.offset == 0) && watched_.erase(KeyOf(node.hash)) > 0;
    watching_ = watched_.size();
    const bool heard = from_disk && hearing_ > 0;
    if (heard) hearing_ -= 1;
    if (!watched && !heard) return;
    met_.push_back({request, watched});
    first = met_.size() == 1;
  }
  if (first) wake_();
}
