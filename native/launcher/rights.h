// What a command of a world may do: nothing that reaches beyond files and processes of its own.
#pragma once

namespace launcher {

/** Takes all capabilities (root's: all but those of ordinary work), and the ways to gain some. */
bool DropRights();

}  // namespace launcher
