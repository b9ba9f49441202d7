// Reading arguments from JavaScript. Each throws a TypeError that names what it does not take.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

/** Bytes that JavaScript owns; valid while it keeps the object they were taken from. */
struct Bytes {
  const uint8_t* data;
  size_t length;
};

/** The bytes of a Uint8Array (so of a Buffer too). */
Bytes BytesArgument(Napi::Value value, const char* name);

/** An integer from 0 to 2^53 - 1. */
uint64_t CountArgument(Napi::Value value, const char* name);

/** A file descriptor. */
int DescriptorArgument(Napi::Value value, const char* name);

/** A path as bytes, without NUL. */
std::string PathArgument(Napi::Value value, const char* name);

/** A name in a folder as bytes: a path that is not empty and has no slash. */
std::string NameArgument(Napi::Value value, const char* name);

/** An array. */
Napi::Array ArrayArgument(Napi::Value value, const char* name);
