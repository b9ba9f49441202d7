#include "slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2 << 20;

void* Aligned(size_t alignment, size_t length) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, length) != 0) throw std::bad_alloc();
  return memory;
}

/**
 * Freed slabs of one length, for all threads. Pages of fresh memory cost as much as reading a file into
 * them; and the collector frees many slabs at once.
 */
template <size_t kLength>
class Pool {
 public:
  void* Take() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!free_.empty()) {
        void* memory = free_.back();
        free_.pop_back();
        return memory;
      }
    }
    void* memory = Aligned(kLength < kHugePage ? kPage : kHugePage, kLength);
#ifdef MADV_HUGEPAGE
    if (kLength >= kHugePage) madvise(memory, kLength, MADV_HUGEPAGE);
#endif
    return memory;
  }

  void Give(void* memory) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (free_.size() < kKept) {
        free_.push_back(memory);
        return;
      }
    }
    std::free(memory);
  }

 private:
  static constexpr size_t kKept = 8;

  std::mutex mutex_;
  std::vector<void*> free_;
};

/** A slab of a pool, which is never destroyed, because slabs are freed until the very end of the process. */
template <size_t kLength>
Slab Pooled() {
  static Pool<kLength>* const pool = new Pool<kLength>;
  return Slab(static_cast<uint8_t*>(pool->Take()), [](uint8_t* memory) { pool->Give(memory); });
}

}  // namespace

Slab AllocateSlab(size_t length) {
  constexpr size_t kHalf = kSlabMax / 2;
  constexpr size_t kEighth = kSlabMax / 8;
  if (length == kSlabMax) return Pooled<kSlabMax>();
  if (length == kEighth) return Pooled<kEighth>();
  if (length <= kHalf && length > kHalf / 2) return Pooled<kHalf>();
  return Slab(static_cast<uint8_t*>(Aligned(kPage, length > 0 ? length : 1)), std::free);
}

namespace {

Napi::Object Share(Napi::Env env, const Slab& slab, size_t begin, size_t end) {
  return Napi::Buffer<uint8_t>::New(
      env, slab.get() + begin, end - begin, [](Napi::Env, uint8_t*, Slab* owner) { delete owner; }, new Slab(slab));
}

}  // namespace

std::vector<Napi::Value> ShareParts(Napi::Env env, const std::vector<Part>& parts, size_t copied_up_to) {
  const auto is_shared = [=](const Part& part) { return part.slab && part.end - part.begin > copied_up_to; };
  std::vector<Napi::Value> values(parts.size(), env.Undefined());
  for (size_t i = 0; i < parts.size(); i++) {
    const Part& part = parts[i];
    if (part.slab && !is_shared(part)) {
      values[i] = Napi::Buffer<uint8_t>::Copy(env, part.slab.get() + part.begin, part.end - part.begin);
    }
  }
  for (size_t first = 0; first < parts.size();) {
    if (!is_shared(parts[first])) {
      first++;
      continue;
    }
    const Slab& slab = parts[first].slab;
    const size_t begin = parts[first].begin;
    size_t end = begin;
    size_t next = first;
    for (; next < parts.size() && (parts[next].slab == slab || !is_shared(parts[next])); next++) {
      if (is_shared(parts[next])) end = parts[next].end;
    }
    const Slicer slicer(Share(env, slab, begin, end));
    for (; first < next; first++) {
      if (is_shared(parts[first])) values[first] = slicer.Slice(parts[first].begin - begin, parts[first].end - begin);
    }
  }
  return values;
}

Slicer::Slicer(Napi::Object whole) : whole_(whole), subarray_(whole.Get("subarray").As<Napi::Function>()) {}

Napi::Value Slicer::Slice(size_t begin, size_t end) const {
  Napi::Env env = whole_.Env();
  return subarray_.Call(whole_, {Napi::Number::New(env, static_cast<double>(begin)),
                                 Napi::Number::New(env, static_cast<double>(end))});
}
