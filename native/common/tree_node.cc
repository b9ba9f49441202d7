#include "tree_node.h"

#include <cstring>

namespace {

constexpr uint8_t kVersion = 1, kList = 1, kTree = 2;
constexpr size_t kHashBytes = 32, kPackBytes = 16, kNameMax = 255, kInlineMax = 128;
constexpr uint64_t kPackMax = 64 << 20, kPackHeader = 8, kChunkMax = 4 << 20, kEntriesMax = 2048, kInnerMax = 256, kPiecesMax = 4096;

}  // namespace

bool StoredNode::U8(uint8_t* value) {
  if (at_ == end_) return Fail();
  *value = *at_++;
  return true;
}

bool StoredNode::Varint(uint64_t* value) {
  *value = 0;
  for (unsigned length = 0;; ++length) {
    uint8_t byte;
    if (!U8(&byte)) return false;
    if (length == 7 && byte > 0x0f) return Fail();
    *value |= uint64_t{byte & 0x7fu} << (7 * length);
    if (byte < 0x80) return byte != 0 || length == 0 || Fail();
  }
}

bool StoredNode::Raw(size_t length, const uint8_t** bytes) {
  if (static_cast<size_t>(end_ - at_) < length) return Fail();
  *bytes = at_;
  at_ += length;
  return true;
}

bool StoredNode::Begin(uint8_t kind, uint64_t count_max) {
  uint8_t version, found;
  uint64_t refs, body;
  if (!U8(&version) || !U8(&found) || !U8(&level_) || version != kVersion || found != kind) return Fail();
  if (!Varint(&refs) || refs > count_max) return Fail();
  for (uint64_t i = 0; i < refs; ++i) {
    Ref ref{};
    if (!U8(&ref.type) || ref.type > 1 || !Raw(kHashBytes, &ref.hash)) return Fail();
    refs_.push_back(ref);
  }
  const uint8_t* begin;
  if (!Varint(&body) || !Raw(body, &begin)) return Fail();
  if (!ReadHints()) return Fail();
  at_ = begin;
  end_ = body_end_ = begin + body;
  return Varint(&count_) && (count_ <= count_max || Fail());
}

bool TreeLeaf::Begin() { return StoredNode::Begin(kTree, kEntriesMax) && (level() == 0 || Fail()); }
bool TreeInner::Begin() { return StoredNode::Begin(kTree, kInnerMax) && (level() > 0 || Fail()); }
bool ListLeaf::Begin() { return StoredNode::Begin(kList, kPiecesMax) && (level() == 0 || Fail()); }

bool StoredNode::ReadHints() {
  uint64_t packs;
  const uint8_t* ids;
  if (!Varint(&packs) || packs > refs_.size() || !Raw(packs * kPackBytes, &ids)) return false;
  for (Ref& ref : refs_) {
    uint64_t number, offset, length;
    if (!Varint(&number) || number > packs) return false;
    if (number == 0) continue;
    if (!Varint(&offset) || !Varint(&length)) return false;
    if (offset < kPackHeader || length == 0 || offset > kPackMax || length > kPackMax - offset) return false;
    ref.has_place = true;
    ref.pack = ids + (number - 1) * kPackBytes;
    ref.offset = static_cast<uint32_t>(offset);
    ref.length = static_cast<uint32_t>(length);
  }
  return at_ == end_;
}

/** Ascending, each sharing as much with the one before as it can. */
bool StoredNode::NextName(std::string* name) {
  uint64_t shared, length;
  const uint8_t* suffix;
  if (!Varint(&shared) || !Varint(&length) || !Raw(length, &suffix)) return false;
  if (shared > last_.size() || shared + length > kNameMax || shared + length == 0) return Fail();
  if (read_ > 0) {
    const bool ascends = length > 0 && (shared == last_.size() || suffix[0] > static_cast<uint8_t>(last_[shared]));
    if (!ascends) return Fail();
  }
  last_.resize(shared);
  last_.append(reinterpret_cast<const char*>(suffix), length);
  const bool bad = last_ == "." || last_ == ".." || std::memchr(last_.data(), '/', last_.size()) != nullptr ||
                   std::memchr(last_.data(), 0, last_.size()) != nullptr;
  if (bad) return Fail();
  *name = last_;
  return true;
}

bool StoredNode::TakeRef(uint8_t type, const Ref** ref) {
  if (taken_ == refs_.size() || refs_[taken_].type != type) return Fail();
  *ref = &refs_[taken_++];
  return true;
}

bool TreeInner::Next(Item* item) {
  if (!HasNext()) return false;
  uint64_t ignored;
  const uint8_t* bytes;
  if (!NextName(&item->last) || !Raw(kHashBytes, &bytes) || !Varint(&item->entries)) return false;
  read_ += 1;
  return Varint(&ignored) && Varint(&ignored) && TakeRef(1, &item->ref);
}

bool ListLeaf::Next(Item* item) {
  if (!HasNext()) return false;
  uint64_t length;
  if (!Varint(&length)) return false;
  read_ += 1;
  item->length = length / 2;
  item->ref = nullptr;
  return length % 2 == 1 || TakeRef(0, &item->ref);
}

bool TreeLeaf::Next(Entry* entry) {
  if (!HasNext()) return false;
  uint8_t form;
  uint64_t seconds, nanoseconds, ignored;
  const uint8_t* bytes;
  if (!NextName(&entry->name) || !U8(&form) || !Varint(&seconds) || !Varint(&nanoseconds)) return false;
  entry->kind = form & 3;
  entry->executable = (form & 4) != 0;
  if (entry->kind > 2 || form >> 3 > kReference || nanoseconds >= 1000000000 || (entry->executable && entry->kind != 0)) {
    return Fail();
  }
  entry->form = static_cast<Form>(form >> 3);
  if ((entry->kind == 1) != (entry->form == kDirectory)) return Fail();
  entry->mtime_seconds = seconds % 2 == 0 ? static_cast<int64_t>(seconds / 2) : -static_cast<int64_t>((seconds + 1) / 2);
  entry->mtime_nanoseconds = static_cast<uint32_t>(nanoseconds);
  entry->size = 0;
  entry->ref = nullptr;
  read_ += 1;
  if (entry->form == kInline) {
    return Varint(&entry->size) && (entry->size <= kInlineMax || Fail()) && Raw(entry->size, &entry->bytes);
  }
  if (entry->form == kReference) {
    // Whether it matches its hash, and what it says, is checked in src/model.
    reference_ = {};
    reference_.type = 2;
    if (entry->kind != 0 || !Raw(kHashBytes, &reference_.hash) || !Varint(&entry->size) || entry->size == 0) return Fail();
    for (int part = 0; part < 2; ++part) {
      if (!Varint(&ignored) || !Raw(ignored, &bytes)) return false;
    }
    entry->ref = &reference_;
    return true;
  }
  if (entry->form == kDirectory) {
    if (!Raw(kHashBytes, &bytes) || !Varint(&ignored) || !Varint(&ignored)) return false;
  } else if (!Varint(&entry->size) || entry->size <= kInlineMax || (entry->form == kChunk && entry->size > kChunkMax)) {
    return Fail();
  }
  return TakeRef(entry->form == kChunk ? 0 : 1, &entry->ref);
}

size_t NamedLength(const uint8_t* bytes, size_t length) {
  size_t at = 3;
  auto varint = [&](uint64_t* value) {
    *value = 0;
    for (unsigned shift = 0; shift < 56; shift += 7) {
      if (at >= length) return false;
      const uint8_t byte = bytes[at++];
      *value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  };
  uint64_t refs, body;
  if (!varint(&refs) || refs > length / (1 + kHashBytes)) return 0;
  at += refs * (1 + kHashBytes);
  if (at > length || !varint(&body) || body > length - at) return 0;
  return at + body;
}
