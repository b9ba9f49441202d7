// What the kernel asks: taken apart, and answered here where no decision is needed. The rest goes to JavaScript.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "session.h"

namespace {

/** The body of a request, without the extensions at its end. */
class Body {
 public:
  Body(const fuse::InHeader& header, const uint8_t* bytes, size_t length) : at_(bytes), left_(length) {
    size_t extensions = size_t{header.total_extlen} * 8;
    left_ = extensions <= left_ ? left_ - extensions : 0;
  }

  template <class T>
  bool Take(T* into) {
    if (left_ < sizeof *into) return false;
    std::memcpy(into, at_, sizeof *into);
    at_ += sizeof *into;
    left_ -= sizeof *into;
    return true;
  }

  /** The name that ends at the next NUL; empty when there is none. */
  std::string TakeName() const {
    const char* name = reinterpret_cast<const char*>(at_);
    size_t length = strnlen(name, left_);
    return length < left_ ? std::string(name, length) : std::string();
  }

  /** Takes what there is, at least `least` bytes: older kernels send shorter structures. */
  template <class T>
  bool TakeUpTo(T* into, size_t least) {
    if (left_ < least) return false;
    std::memcpy(into, at_, std::min(left_, sizeof *into));
    return true;
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

/** Bytes of an INIT before protocol 7.36. */
constexpr size_t kOldInitBytes = 16;

}  // namespace

void Session::Handle(const uint8_t* bytes, size_t length) {
  fuse::InHeader header;
  if (length < sizeof header) return;
  std::memcpy(&header, bytes, sizeof header);
  if (header.len != length) return;
  Body body(header, bytes + sizeof header, length - sizeof header);
  counters.requests[std::min<uint32_t>(header.opcode, 63)] += 1;
  auto fail = [&](int error) { channel_.Send(header.unique, error, nullptr, 0); };
  Request request{header.opcode, 0, 0, header.nodeid, 0, {}};
  switch (header.opcode) {
    case fuse::kInit: {
      fuse::InitIn in{};
      if (!body.TakeUpTo(&in, kOldInitBytes)) return fail(EPROTO);
      return Negotiate(header, in);
    }
    case fuse::kForget: {
      uint64_t lookups = 0;
      if (body.Take(&lookups)) files_.Forget(header.nodeid, lookups);
      return;
    }
    case fuse::kBatchForget: {
      fuse::BatchForgetIn in{};
      if (!body.Take(&in)) return;
      fuse::ForgetOne one;
      for (; in.count > 0 && body.Take(&one); --in.count) files_.Forget(one.nodeid, one.nlookup);
      return;
    }
    case fuse::kGetattr: {
      if (header.nodeid == fuse::kRootIno && options_.root_changes) return requests_.Add(std::move(request), header);
      Node node;
      if (!table_->Get(header.nodeid, &node)) return fail(ESTALE);
      return entries_.SendAttributes(header.unique, header.nodeid, node, kValidForEver);
    }
    case fuse::kStatfs: {
      fuse::StatfsOut out{};
      out.bsize = out.frsize = 4096;
      out.namelen = fuse::kNameMax;
      out.blocks = std::max<uint64_t>(1, (options_.total_bytes + 4095) / 4096);
      out.files = options_.total_files;
      channel_.Send(header.unique, 0, &out, sizeof out);
      return;
    }
    case fuse::kInterrupt: {
      uint64_t unique = 0;
      if (!body.Take(&unique)) return;
      counters.interrupts += 1;
      return interrupts_.Add(unique);
    }
    case fuse::kDestroy:
      return fail(0);
    case fuse::kLookup:
      request.name = body.TakeName();
      if (request.name.empty()) return fail(EINVAL);
      if (request.name.size() > fuse::kNameMax) return fail(ENAMETOOLONG);
      if (kept_.Answer(header.unique, request)) return;
      return requests_.Add(std::move(request), header);
    case fuse::kGetxattr:
    case fuse::kListxattr: {
      fuse::GetxattrIn in{};
      if (!body.Take(&in)) return fail(EINVAL);
      request.size = in.size;
      if (header.opcode == fuse::kGetxattr) {
        request.name = body.TakeName();
        if (request.name.empty()) return fail(EINVAL);
      }
      return requests_.Add(std::move(request), header);
    }
    case fuse::kOpen:
      if (opens_.Answer(header.unique, header.nodeid)) return;
      // Of packs in a store on this machine JavaScript makes files that can be lent, which are read fastest.
      if (!(opens_.Lends() && options_.blobs_form == StoredBlobs::Form::kPacks) && kept_.HasFile(header.nodeid)) {
        return opens_.Send(header.unique, header.nodeid);
      }
      // JavaScript looks whether it is a file of the disk cache, and answers by ReplyOpen.
      return requests_.Add(std::move(request), header);
    case fuse::kRelease: {
      fuse::ReleaseIn in{};
      if (body.Take(&in) && in.fh == kCounted) opens_.Release(header.nodeid);
      return fail(0);
    }
    case fuse::kRead:
    case fuse::kReaddir:
    case fuse::kReaddirplus: {
      fuse::ReadIn in{};
      if (!body.Take(&in)) return fail(EINVAL);
      request.size = std::min(in.size, fuse::kReadBytesMax);
      request.offset = in.offset;
      if (header.opcode == fuse::kRead && files_.Answer(header.unique, request)) return;
      // What an attached file lacks JavaScript fetches into it.
      if (!files_.IsAttached(header.nodeid) && kept_.Answer(header.unique, request)) return;
      return requests_.Add(std::move(request), header);
    }
    case fuse::kReadlink:
      return requests_.Add(std::move(request), header);
    default:
      // FLUSH and the like: nothing is to be done. The kernel remembers ENOSYS and does not ask again.
      return fail(ENOSYS);
  }
}

void Session::Negotiate(const fuse::InHeader& header, const fuse::InitIn& in) {
  fuse::InitOut out{};
  out.major = fuse::kMajor;
  out.minor = std::min(in.minor, fuse::kMinor);
  // A kernel of a later major is told ours and asks again.
  if (in.major > fuse::kMajor) {
    channel_.Send(header.unique, 0, &out, sizeof out);
    return;
  }
  if (in.major < fuse::kMajor || in.minor < fuse::kMinorNeeded) {
    channel_.Send(header.unique, EPROTO, nullptr, 0);
    return End(EPROTONOSUPPORT);
  }
  uint64_t offered = in.flags;
  if ((offered & fuse::kInitExt) != 0) offered |= uint64_t{in.flags2} << 32;
  constexpr uint64_t kWanted = fuse::kAsyncRead | fuse::kDoReaddirplus | fuse::kNoOpenSupport | fuse::kParallelDirops |
                               fuse::kAbortError | fuse::kMaxPages | fuse::kCacheSymlinks | fuse::kNoOpendirSupport |
                               fuse::kInitExt | fuse::kHasResend | fuse::kPassthrough;
  uint64_t flags = kWanted & offered;
  if (options_.stack_depth == 0) flags &= ~fuse::kPassthrough;
  const bool passthrough = (flags & fuse::kPassthrough) != 0;
  SetPassthrough(passthrough);
  if (passthrough) out.max_stack_depth = options_.stack_depth;
  out.flags = static_cast<uint32_t>(flags);
  out.flags2 = static_cast<uint32_t>(flags >> 32);
  out.max_readahead = in.max_readahead;
  out.max_background = 128;
  out.congestion_threshold = 96;
  out.max_write = fuse::kMaxWrite;
  out.max_pages = fuse::kReadBytesMax / 4096;
  out.time_gran = 1;
  // Stored first: once the kernel has the answer, a successor of this server gets no INIT.
  table_->SetNegotiated(out.minor, flags);
  channel_.Send(header.unique, 0, &out, sizeof out);
  SetReady();
}
