// What a session has to do with, as values of JavaScript: src/mount/fuse-addon.ts has their types.
#pragma once

#include <napi.h>

#include <cstdint>
#include <vector>

#include "counters.h"
#include "data_writers.h"
#include "entries.h"
#include "inode_table.h"
#include "requests.h"

uint64_t NumberOf(Napi::Value value);

/** An entry as `encodeEntry` writes it; its parent is not set. Throws for anything else. */
Entry EntryIn(Napi::Env env, Napi::Value given);

/** `no_name` is an empty buffer: most requests have no name. */
Napi::Object ObjectOf(Napi::Env env, const Request& request, Napi::Value no_name);
/** A request as JavaScript hands it back. */
Request RequestIn(Napi::Value given);

/** Of a read's answer. Descriptors are copies, since the caller may close its own at once. */
std::vector<Piece> PiecesIn(Napi::Env env, Napi::Array given);

Napi::Object ObjectOf(Napi::Env env, Napi::Value ino, const Node& node);

Napi::Object ObjectOf(Napi::Env env, const Counters& counters);
