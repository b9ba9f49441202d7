#include "hash.h"

namespace {

/** Deriving a key from a context costs as much as a short input: it is done once. */
struct Starts {
  blake3_hasher plain, gear, node, content, reference;

  Starts() {
    blake3_hasher_init(&plain);
    blake3_hasher_init_derive_key(&gear, "pachmount 2026 gear v1");
    blake3_hasher_init_derive_key(&node, "pachmount 2026 node v1");
    blake3_hasher_init_derive_key(&content, "pachmount 2026 content v1");
    blake3_hasher_init_derive_key(&reference, "pachmount 2026 reference v1");
  }
};

}  // namespace

blake3_hasher StartHash(Domain domain) {
  static const Starts starts;
  switch (domain) {
    case Domain::kGear:
      return starts.gear;
    case Domain::kNode:
      return starts.node;
    case Domain::kContent:
      return starts.content;
    case Domain::kReference:
      return starts.reference;
    case Domain::kPlain:
      break;
  }
  return starts.plain;
}

Hash FinishHash(const blake3_hasher& hasher) {
  Hash hash;
  blake3_hasher_finalize(&hasher, hash.data(), hash.size());
  return hash;
}

Hash HashOf(Domain domain, const uint8_t* data, size_t length) {
  blake3_hasher hasher = StartHash(domain);
  blake3_hasher_update(&hasher, data, length);
  return FinishHash(hasher);
}
