// createCutter.
#include <atomic>
#include <memory>
#include <utility>

#include "addon.h"
#include "arguments.h"
#include "cut.h"
#include "task.h"

namespace {

/** A stream being cut. Work on the pool shares it, for the object may be collected meanwhile. */
struct Stream {
  Cut cut;
  /** Used by the thread of JavaScript only. It stays set after a failure, when `over` says more. */
  bool busy = false;
  std::atomic<bool> over{false};
};

struct Pushed {
  uint64_t consumed = 0;
  std::vector<Piece> pieces;
};

Napi::Array ToArray(Napi::Env env, const std::vector<Piece>& pieces) {
  std::vector<Part> parts;
  auto hashes = Napi::Buffer<uint8_t>::New(env, pieces.size() * sizeof(Hash));
  for (const Piece& piece : pieces) {
    std::copy(piece.hash.begin(), piece.hash.end(), hashes.Data() + parts.size() * sizeof(Hash));
    parts.push_back({piece.slab, piece.offset, piece.offset + (piece.slab ? piece.length : 0)});
  }
  const std::vector<Napi::Value> bytes = ShareParts(env, parts);
  const Slicer slicer(hashes);
  Napi::Array array = Napi::Array::New(env, pieces.size());
  for (size_t i = 0; i < pieces.size(); i++) {
    Napi::Object piece = Napi::Object::New(env);
    piece.Set("length", Napi::Number::New(env, static_cast<double>(pieces[i].length)));
    if (pieces[i].slab) {
      piece.Set("bytes", bytes[i]);
      piece.Set("hash", slicer.Slice(i * sizeof(Hash), (i + 1) * sizeof(Hash)));
    }
    array.Set(static_cast<uint32_t>(i), piece);
  }
  return array;
}

/** The pieces alone, for push and end. */
Napi::Value PiecesOnly(Napi::Env env, Pushed& pushed) { return ToArray(env, pushed.pieces); }

Napi::Value WithConsumed(Napi::Env env, Pushed& pushed) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("consumed", Napi::Number::New(env, static_cast<double>(pushed.consumed)));
  object.Set("pieces", ToArray(env, pushed.pieces));
  return object;
}

/**
 * Runs one step of a stream on the pool. A step that fails leaves the stream undefined, so it is
 * over then, as it is after its end; a second step at a time would break it.
 */
Napi::Value Step(Napi::Env env, const std::shared_ptr<Stream>& stream, Napi::Object kept, bool last,
                 std::function<void(Cut&, Pushed&)> step, Task<Pushed>::Convert convert) {
  if (stream->over) throw Napi::Error::New(env, "cutter: it has ended");
  if (stream->busy) throw Napi::Error::New(env, "cutter: a call is under way");
  stream->busy = true;
  return Task<Pushed>::Run(
      env, kept,
      [stream, last, step = std::move(step)] {
        Pushed pushed;
        try {
          step(stream->cut, pushed);
        } catch (...) {
          stream->over = true;
          throw;
        }
        if (last) stream->over = true;
        return pushed;
      },
      [stream, convert = std::move(convert)](Napi::Env env, Pushed& pushed) {
        stream->busy = false;
        return convert(env, pushed);
      });
}

Napi::Value CreateCutter(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const auto stream = std::make_shared<Stream>();
  Napi::Object cutter = Napi::Object::New(env);
  const auto method = [&](const char* name, auto call) {
    cutter.Set(name, Napi::Function::New(env, call, name));
  };
  method("push", [stream](const Napi::CallbackInfo& info) {
    const Bytes bytes = BytesArgument(info[0], "bytes");
    return Step(info.Env(), stream, info[0].As<Napi::Object>(), false,
                [=](Cut& cut, Pushed& pushed) { cut.Push(bytes.data, bytes.length, pushed.pieces); }, PiecesOnly);
  });
  method("pushFile", [stream](const Napi::CallbackInfo& info) {
    const int fd = DescriptorArgument(info[0], "fd");
    const uint64_t offset = CountArgument(info[1], "offset");
    const uint64_t length = CountArgument(info[2], "length");
    return Step(info.Env(), stream, {}, false,
                [=](Cut& cut, Pushed& pushed) { pushed.consumed = cut.PushFile(fd, offset, length, pushed.pieces); },
                WithConsumed);
  });
  method("end", [stream](const Napi::CallbackInfo& info) {
    return Step(info.Env(), stream, {}, true, [](Cut& cut, Pushed& pushed) { cut.End(pushed.pieces); }, PiecesOnly);
  });
  return cutter;
}

}  // namespace

void ExportCutting(Napi::Env env, Napi::Object exports) {
  exports.Set("createCutter", Napi::Function::New(env, CreateCutter, "createCutter"));
}
