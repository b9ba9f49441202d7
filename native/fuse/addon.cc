// The face to JavaScript: src/mount/fuse-addon.ts says what each function means.
#include "addon.h"

#include <cerrno>
#include <cstring>

#include "inode_table.h"

namespace {

const char* CodeOf(int error) {
  switch (error) {
    case EACCES: return "EACCES";
    case EBADF: return "EBADF";
    case EBUSY: return "EBUSY";
    case ECONNABORTED: return "ECONNABORTED";
    case EINVAL: return "EINVAL";
    case EMFILE: return "EMFILE";
    case ENODEV: return "ENODEV";
    case ENOENT: return "ENOENT";
    case ENOMEM: return "ENOMEM";
    case ENOTCONN: return "ENOTCONN";
    case ENOTDIR: return "ENOTDIR";
    case EPERM: return "EPERM";
    case EPROTONOSUPPORT: return "EPROTONOSUPPORT";
    default: return "EIO";
  }
}

Napi::Value CreateTable(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Guarded(info.Env(), [] { return InodeTable::CreateFile(); }));
}

Napi::Value OpenDeviceCall(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Guarded(info.Env(), OpenDevice));
}

void MountCall(const Napi::CallbackInfo& info) {
  int device = info[0].As<Napi::Number>();
  std::string mountpoint = info[1].As<Napi::String>();
  Napi::Object given = info[2].As<Napi::Object>();
  bool helper = info[3].As<Napi::Boolean>();
  const MountOptions options{given.Get("source").As<Napi::String>(), given.Get("allowOther").ToBoolean(),
                             given.Get("noExec").ToBoolean()};
  Guarded(info.Env(), [&] { (helper ? MountByHelper : MountDirectly)(device, mountpoint, options); });
}

void UnmountCall(const Napi::CallbackInfo& info) {
  std::string mountpoint = info[0].As<Napi::String>();
  bool lazy = info[1].As<Napi::Boolean>(), helper = info[2].As<Napi::Boolean>();
  Guarded(info.Env(), [&] { Unmount(mountpoint, lazy, helper); });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("createTable", Napi::Function::New(env, CreateTable));
  exports.Set("openDevice", Napi::Function::New(env, OpenDeviceCall));
  exports.Set("mount", Napi::Function::New(env, MountCall));
  exports.Set("unmount", Napi::Function::New(env, UnmountCall));
  exports.Set("FuseSession", DefineSession(env));
  return exports;
}

}  // namespace

Napi::Error ErrorOf(Napi::Env env, int error, const std::string& message) {
  Napi::Error made = Napi::Error::New(env, message.empty() ? std::strerror(error) : message);
  if (error != 0) made.Set("code", Napi::String::New(env, CodeOf(error)));
  return made;
}

NODE_API_MODULE(fuse, Init)
