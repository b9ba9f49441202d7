// What the parts of a session promise by themselves, where no load would show it for certain.
#pragma once
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "../../fuse/local_files.h"
#include "../../fuse/requests.h"
#include "content.h"
#include "files.h"

namespace threads {

/** A file is attached only to the inode that has its content, and is forgotten with it. */
inline void CheckLocalFiles(Files* files, InodeTable* table, Channel* channel) {
  Counters counters;
  const Wake wake = [] {};
  LocalFiles local(*table, *channel, counters, wake);
  Node node = NodeOf(0);
  const Node other = NodeOf(1);
  const std::string name = NameOf(0);
  uint32_t generation;
  const uint64_t ino = table->Intern(&node, name.data(), name.size(), &generation);
  local.Attach(ino, files->Of(1), other.hash);
  if (local.IsAttached(ino)) Fail("a file with other content was attached");
  local.Attach(ino, files->Of(0), node.hash);
  if (!local.IsAttached(ino)) Fail("a file was not attached");
  local.Forget(ino, 1);
  if (local.IsAttached(ino)) Fail("an inode was forgotten without its file");
}

/** Who takes a request first is the only one, also when it was queued again. */
inline void CheckRequests() {
  Counters counters;
  unsigned woken = 0;
  const Wake wake = [&woken] { woken += 1; };
  Requests requests(counters, wake);
  fuse::InHeader header{};
  header.unique = 7;
  requests.Add(Request{fuse::kRead, 0, 0, 2, 0, {}}, header);
  std::vector<Request> batch = requests.Drain();
  if (batch.size() != 1 || requests.Find(batch[0].id) != uint64_t{7}) return Fail("a request was lost");
  const uint64_t id = batch[0].id;
  requests.AddAgain(std::move(batch[0]));
  if (woken != 2 || requests.Drain().size() != 1) Fail("a request was not queued again");
  if (requests.Take(id) != uint64_t{7} || requests.Take(id) || requests.FindAsker(7)) Fail("a request was taken twice");
}

/** Threads that read one file in order share its segments, and have read ahead what comes next. */
inline void CheckSegments(Files* files) {
  const std::shared_ptr<CacheFile>& file = files->Of(0);
  const std::vector<uint8_t> bytes = BytesOf(0, 0, file->size());
  const Segments::Hash hash{};
  Segments segments;
  if (segments.Get(*file, hash, 0)) Fail("a segment was read that is not there");
  file->Put(0, bytes.data(), bytes.size(), true, true);
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&] {
      for (uint64_t at = 0, end; at < bytes.size(); at = end) {
        end = std::min<uint64_t>(bytes.size(), at + (128 << 10));
        const Segments::Order order = segments.Note(1, at, end);
        const uint64_t segment = at / Segments::kBytes, from = at - segment * Segments::kBytes;
        const SharedBytes got = segments.Get(*file, hash, segment);
        if (!got || std::memcmp(got.data + from, &bytes[at], end - at) != 0) return Fail("another segment was read");
        segments.Prepare(*file, hash, segment + 1, order.ahead);
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  file->Drop(0, file->size());
  if (!segments.Get(*file, hash, 2)) Fail("a segment was not kept");
}

inline void CheckParts(Files* files) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) std::abort();
  const int fd = InodeTable::CreateFile();
  {
    Counters counters;
    Channel channel(ends[1], counters);
    InodeTable table(fd);
    table.SetRoot(Root());
    CheckLocalFiles(files, &table, &channel);
    CheckRequests();
    CheckSegments(files);
  }
  for (const int each : {fd, ends[0], ends[1]}) close(each);
}

}  // namespace threads
