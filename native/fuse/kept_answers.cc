#include "kept_answers.h"

#include <algorithm>
#include <vector>

namespace {

constexpr size_t kLeafBytesMax = 8 << 20, kChunkBytesMax = 8 << 20;
constexpr uint8_t kDirectoryKind = 1, kChunkRef = 1, kNodeRef = 2;

}  // namespace

KeptAnswers::KeptAnswers(InodeTable& table, EntryWriter& entries, Channel& channel, Counters& counters)
    : table_(table), entries_(entries), channel_(channel), counters_(counters), leaves_(kLeafBytesMax), chunks_(kChunkBytesMax) {}

bool KeptAnswers::KeepLeaf(const uint8_t* hash, const uint8_t* bytes, size_t length) {
  if (!IsSoundLeaf(bytes, length)) return false;
  leaves_.Keep(hash, bytes, length);
  return true;
}

std::optional<KeptAnswers::Directory> KeptAnswers::Find(uint64_t ino) {
  Node node;
  if (!table_.Get(ino, &node) || node.kind != kDirectoryKind || node.ref != kNodeRef) return std::nullopt;
  KeptBytes::Bytes leaf = leaves_.Get(node.hash);
  if (!leaf) return std::nullopt;
  return Directory{node.parent, std::move(leaf)};
}

void KeptAnswers::Send(uint64_t unique, const Request& request, const Directory& directory) {
  const std::vector<uint8_t>& bytes = *directory.leaf;
  if (request.opcode == fuse::kLookup) entries_.SendEntryOfLeaf(unique, request, bytes.data(), bytes.size());
  else entries_.SendLeaf(unique, request, directory.parent, bytes.data(), bytes.size(), 0);
}

bool KeptAnswers::Answer(uint64_t unique, const Request& request) {
  if (request.opcode == fuse::kRead) return AnswerRead(unique, request);
  const std::optional<Directory> directory = Find(request.ino);
  if (!directory) return false;
  counters_.kept_answers += 1;
  Send(unique, request, *directory);
  return true;
}

bool KeptAnswers::AnswerRead(uint64_t unique, const Request& request) {
  Node node;
  if (!table_.Get(request.ino, &node) || node.ref != kChunkRef) return false;
  const KeptBytes::Bytes bytes = chunks_.Get(node.hash);
  if (!bytes || bytes->size() != node.size) return false;
  const uint64_t begin = std::min<uint64_t>(request.offset, bytes->size());
  const uint64_t length = std::min<uint64_t>(request.size, bytes->size() - begin);
  counters_.kept_answers += 1;
  if (channel_.Send(unique, 0, bytes->data() + begin, length)) counters_.bytes_read += length;
  return true;
}
