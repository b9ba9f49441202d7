// Work on libuv's thread pool whose outcome settles a promise.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "errors.h"

/** Runs `work` on a thread of the pool, then `convert` on the JavaScript thread. Deletes itself. */
template <class Result>
class Task : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, Result&)>;

  /** `kept` is held until then, so that the bytes the work reads stay; it may be empty. */
  static Napi::Promise Run(Napi::Env env, Napi::Object kept, Work work, Convert convert) {
    Task* task = new Task(env, kept, std::move(work), std::move(convert));
    Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      result_.emplace(work_());
    } catch (...) {
      thrown_ = std::current_exception();
    }
  }

  void OnOK() override {
    try {
      Settle(Env());
    } catch (const Napi::Error&) {
      // A worker thread that is being ended runs no JavaScript: there is nobody left to tell.
    }
  }

 private:
  Task(Napi::Env env, Napi::Object kept, Work work, Convert convert)
      : Napi::AsyncWorker(env, "pachmount"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {
    if (!kept.IsEmpty()) kept_ = Napi::Persistent(kept);
  }

  void Settle(Napi::Env env) {
    if (thrown_) return deferred_.Reject(ToJs(env, thrown_).Value());
    try {
      deferred_.Resolve(convert_(env, *result_));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    } catch (...) {
      deferred_.Reject(ToJs(env, std::current_exception()).Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference kept_;
  Work work_;
  Convert convert_;
  std::optional<Result> result_;
  std::exception_ptr thrown_;
};
