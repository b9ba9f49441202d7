#include "values_js.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "addon.h"

namespace {

std::string NameIn(Napi::Object request) {
  Napi::Buffer<char> name = request.Get("name").As<Napi::Buffer<char>>();
  return std::string(name.Data(), name.Length());
}

/** A copy of a descriptor; where there is none to be had, those made before are closed. */
int OwnFile(Napi::Env env, Napi::Value fd, const std::vector<Piece>& before) {
  int own = fcntl(fd.As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
  if (own >= 0) return own;
  int error = errno;
  for (const Piece& piece : before) {
    if (piece.fd >= 0) close(piece.fd);
  }
  throw ErrorOf(env, error, "");
}

}  // namespace

uint64_t NumberOf(Napi::Value value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }

Entry EntryIn(Napi::Env env, Napi::Value given) {
  Napi::Buffer<uint8_t> bytes = given.As<Napi::Buffer<uint8_t>>();
  Entry entry;
  if (!EntryReader(bytes.Data(), bytes.Length()).Next(&entry)) throw Napi::TypeError::New(env, "not an entry");
  return entry;
}

Napi::Object ObjectOf(Napi::Env env, const Request& request, Napi::Value no_name) {
  Napi::Object made = Napi::Object::New(env);
  made.Set("opcode", request.opcode);
  made.Set("id", static_cast<double>(request.id));
  made.Set("ino", static_cast<double>(request.ino));
  made.Set("offset", static_cast<double>(request.offset));
  made.Set("size", request.size);
  made.Set("tries", request.tries);
  if (request.name.empty()) {
    made.Set("name", no_name);
  } else {
    const uint8_t* name = reinterpret_cast<const uint8_t*>(request.name.data());
    made.Set("name", Napi::Buffer<uint8_t>::Copy(env, name, request.name.size()));
  }
  return made;
}

Request RequestIn(Napi::Value given) {
  Napi::Object asked = given.As<Napi::Object>();
  auto number = [&](const char* name) { return NumberOf(asked.Get(name)); };
  return {static_cast<uint32_t>(number("opcode")), static_cast<uint32_t>(number("size")), number("id"),
          number("ino"), number("offset"), NameIn(asked), static_cast<uint32_t>(number("tries"))};
}

std::vector<Piece> PiecesIn(Napi::Env env, Napi::Array given) {
  std::vector<Piece> pieces;
  for (uint32_t i = 0; i < given.Length(); ++i) {
    Napi::Object piece = given.Get(i).As<Napi::Object>();
    Napi::Value bytes = piece.Get("bytes"), fd = piece.Get("fd");
    if (bytes.IsBuffer()) {
      Napi::Buffer<uint8_t> buffer = bytes.As<Napi::Buffer<uint8_t>>();
      if (buffer.Length() > 0) pieces.push_back({buffer.Data(), -1, 0, buffer.Length()});
    } else if (fd.IsNumber()) {
      pieces.push_back({nullptr, OwnFile(env, fd, pieces), NumberOf(piece.Get("offset")), NumberOf(piece.Get("length"))});
    } else {
      pieces.push_back({nullptr, -1, 0, NumberOf(piece.Get("length"))});
    }
  }
  return pieces;
}

Napi::Object ObjectOf(Napi::Env env, Napi::Value ino, const Node& node) {
  Napi::Object made = Napi::Object::New(env);
  made.Set("ino", ino);
  made.Set("parent", static_cast<double>(node.parent));
  made.Set("ordinal", static_cast<double>(node.ordinal));
  made.Set("kind", node.kind);
  made.Set("executable", node.executable != 0);
  made.Set("size", static_cast<double>(node.size));
  made.Set("mtimeSeconds", static_cast<double>(node.mtime_seconds));
  made.Set("mtimeNanoseconds", node.mtime_nanoseconds);
  made.Set("ref", node.ref);
  made.Set("place", node.place != 0);
  made.Set("hash", Napi::Buffer<uint8_t>::Copy(env, node.hash, sizeof node.hash));
  made.Set("pack", Napi::Buffer<uint8_t>::Copy(env, node.pack, sizeof node.pack));
  made.Set("placeOffset", node.place_offset);
  made.Set("placeLength", node.place_length);
  return made;
}

Napi::Object ObjectOf(Napi::Env env, const Counters& counters) {
  Napi::Object made = Napi::Object::New(env);
  Napi::Array requests = Napi::Array::New(env);
  for (uint32_t i = 0; i < counters.requests.size(); ++i) requests.Set(i, static_cast<double>(counters.requests[i]));
  made.Set("requests", requests);
  made.Set("replies", static_cast<double>(counters.replies));
  made.Set("replyErrors", static_cast<double>(counters.reply_errors));
  made.Set("interrupts", static_cast<double>(counters.interrupts));
  made.Set("bytesRead", static_cast<double>(counters.bytes_read));
  made.Set("localReads", static_cast<double>(counters.local_reads));
  made.Set("keptAnswers", static_cast<double>(counters.kept_answers));
  made.Set("storedReads", static_cast<double>(counters.stored_reads));
  made.Set("decided", static_cast<double>(counters.decided));
  made.Set("damagedReads", static_cast<double>(counters.damaged_reads));
  made.Set("passthroughOpens", static_cast<double>(counters.passthrough_opens));
  made.Set("ringMax", static_cast<double>(counters.ring_max));
  return made;
}
