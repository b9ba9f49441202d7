// The launcher in front of a command of somebody else's container: it waits until what it asked for is
// mounted, and then becomes the command. Nothing of it is left.
#pragma once
#include "files.h"

namespace launcher {

/** Waits for the answer at `sidecar`, and becomes `command`, which ends with a null. Returns the exit code where it can't. Throws Failure. */
int ExecWhenShown(const Fd& sidecar, char** command);

}  // namespace launcher
