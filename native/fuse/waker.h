// How other threads reach the thread of JavaScript. Shared by both sides: threads that wait in the
// kernel may outlive JavaScript, and then wake nobody.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

/** Has `deliver` called in the thread of JavaScript, until Close or the end of JavaScript. */
class Waker : public std::enable_shared_from_this<Waker> {
 public:
  explicit Waker(std::function<void(Napi::Env)> deliver) : deliver_(std::move(deliver)) {}

  /** From the thread of JavaScript. */
  void Open(Napi::Env env) {
    Napi::Function nothing = Napi::Function::New(env, [](const Napi::CallbackInfo&) {});
    auto gone = [self = shared_from_this()](Napi::Env) { self->Forget(); };
    function_ = Napi::ThreadSafeFunction::New(env, nothing, "fuse", 0, 1, gone);
    open_ = true;
  }

  /** From any thread. */
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!open_) return;
    auto call = [self = shared_from_this()](Napi::Env env, Napi::Function) { self->deliver_(env); };
    if (function_.NonBlockingCall(call) == napi_closing) open_ = false;
  }

  /** From the thread of JavaScript. */
  void Close() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (std::exchange(open_, false)) function_.Release();
  }

 private:
  /** JavaScript ends, and with it the function. */
  void Forget() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = false;
  }

  const std::function<void(Napi::Env)> deliver_;
  /** For the two below: the function must not be called once it was released. */
  std::mutex mutex_;
  Napi::ThreadSafeFunction function_;
  bool open_ = false;
};
