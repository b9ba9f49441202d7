// What a command of a sandbox may do: nothing that reaches beyond files and processes of its own.
#pragma once

namespace launcher {

/** Once, in the launcher: no program that it or its children become gains any other rights. False when the kernel refuses. */
bool BoundRights();

/** In a command's process: drops all capabilities; root keeps those of ordinary work. */
bool DropRights();

}  // namespace launcher
