// What no command may ask of the kernel, in a world or in a container: a filter of system calls.
#pragma once

namespace launcher {

/**
 * In a command's process, last before its program: refuses for ever what data programs have no use for, and lets it
 * gain no rights. False, with errno set, when the kernel can't filter.
 */
bool RefuseCalls();

}  // namespace launcher
