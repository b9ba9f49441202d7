// Large files: packs on the disk, and the files of the cache that the fetching threads fill from them.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>

#include "../../fetch/fetch.h"
#include "content.h"

namespace threads {

/** The extents of the one pack that the disk cache has, which come, go and are damaged. */
class Extents {
 public:
  explicit Extents(const std::string& folder) : folder_(folder) {
    for (const char* below : {"", "/data", "/data/00", "/data/00/00000000000000000000000000000000"}) {
      pack_ = folder_ + below;
      mkdir(pack_.c_str(), 0700);
    }
  }

  const std::string& folder() const { return folder_; }

  void Change(uint64_t file, unsigned how) {
    if (!IsStored(file)) return;
    const std::string path = pack_ + "/" + std::to_string(PlaceOf(file)) + "-" + std::to_string(StoredLengthOf(file));
    if (how == 0) return static_cast<void>(unlink(path.c_str()));
    std::vector<uint8_t> bytes = BytesOf(file, 0, SizeOf(file));
    bytes.insert(bytes.begin(), 0);
    if (how == 1) bytes[bytes.size() / 2] ^= 1;
    bytes.resize(bytes.size() + 32);
    std::FILE* out = std::fopen((pack_ + "/.new").c_str(), "w");
    if (out == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size()) std::abort();
    std::fclose(out);
    if (rename((pack_ + "/.new").c_str(), path.c_str()) != 0) std::abort();
  }

 private:
  const std::string folder_;
  std::string pack_;
};

/** Large files: where they are stored, and the files of the cache that they fill. */
class Files {
 public:
  explicit Files(std::string folder) : folder_(std::move(folder)), extents_(folder_ + "/extents"), fetcher_(std::make_unique<Fetcher>(4, 3)) {
    for (uint64_t file = 0; file < kLargeFiles; ++file) {
      std::vector<uint8_t> pack;
      for (uint64_t at = 0; at < SizeOf(file); at += kChunk) {
        const std::vector<uint8_t> plain = BytesOf(file, at, std::min(at + kChunk, SizeOf(file)));
        hashes_[file].push_back(HashOf(Domain::kPlain, plain.data(), plain.size()));
        pack.push_back(0);
        pack.insert(pack.end(), plain.begin(), plain.end());
      }
      std::FILE* out = std::fopen(PackOf(file).c_str(), "w");
      if (out == nullptr || std::fwrite(pack.data(), 1, pack.size(), out) != pack.size()) std::abort();
      std::fclose(out);
      files_[file] = Open(file);
    }
  }

  /** The same for who fills it and who answers from it. */
  const std::shared_ptr<CacheFile>& Of(uint64_t file) { return files_[file]; }

  Extents& extents() { return extents_; }

  /** Fetches the chunks that a range has bytes of; `done` is called by another thread. */
  void Fetch(uint64_t file, uint64_t from, uint64_t to, std::function<void()> done) {
    Transfer transfer;
    transfer.path = PackOf(file);
    transfer.file = files_[file];
    transfer.server.timeout_seconds = 5;
    transfer.urgent = from % 2 == 0;
    transfer.held = from % 8 != 0;
    // With their neighbours: a block that two share is there when both are.
    const uint64_t last = (SizeOf(file) - 1) / kChunk;
    for (uint64_t chunk = from / kChunk - (from >= kChunk); chunk <= std::min(last, (to - 1) / kChunk + 1); ++chunk) {
      const uint32_t length = static_cast<uint32_t>(std::min(kChunk, SizeOf(file) - chunk * kChunk));
      transfer.pieces.push_back({chunk * (kChunk + 1), length + 1, length, chunk * kChunk, hashes_[file][chunk], chunk == 0, chunk == last});
    }
    transfer.given_up = std::make_shared<std::atomic<bool>>(false);
    transfer.begun = [] {};
    transfer.moved = [](uint64_t) {};
    transfer.landed = [](size_t) {};
    transfer.ended = [done = std::move(done)](size_t, uint64_t, const std::string& failure) {
      if (!failure.empty()) Fail(failure.c_str());
      done();
    };
    fetcher_->Add(std::move(transfer));
  }

 private:
  std::shared_ptr<CacheFile> Open(uint64_t file) {
    const std::string path = folder_ + "/" + NameOf(file);
    const int data = open(path.c_str(), O_RDWR | O_CREAT, 0600), sums = open((path + ".sums").c_str(), O_RDWR | O_CREAT, 0600);
    auto made = std::make_shared<CacheFile>(data, sums, SizeOf(file), CacheFile::Content{}, CacheFile::Boot{});
    close(data), close(sums);
    return made;
  }

  std::string PackOf(uint64_t file) const { return folder_ + "/pack" + std::to_string(file); }

  const std::string folder_;
  Extents extents_;
  std::unique_ptr<Fetcher> fetcher_;
  std::map<uint64_t, std::vector<Hash>> hashes_;
  std::map<uint64_t, std::shared_ptr<CacheFile>> files_;
};

}  // namespace threads
