// What the parts of the addon export. The contract of each function is in src/base/native.ts.
#pragma once

#include <napi.h>

void ExportHashing(Napi::Env env, Napi::Object exports);
void ExportCutting(Napi::Env env, Napi::Object exports);
void ExportBlobs(Napi::Env env, Napi::Object exports);
void ExportFiles(Napi::Env env, Napi::Object exports);
void ExportMemory(Napi::Env env, Napi::Object exports);
void ExportRemoving(Napi::Env env, Napi::Object exports);
void ExportRows(Napi::Env env, Napi::Object exports);
