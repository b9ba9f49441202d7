// What no command may ask of the kernel, in a sandbox or in a container: a filter of system calls.
#pragma once

namespace launcher {

/**
 * Called in a command's process right before its program starts: from then on calls that data programs have
 * no use for fail, and it can gain no rights. False, with errno set, when the kernel can't filter.
 */
bool RefuseCalls();

}  // namespace launcher
