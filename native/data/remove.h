// Removing a tree by descriptors: nothing outside of it is touched, whoever changes it meanwhile.
#pragma once

#include <string>

/** What becomes of the folder that is named. */
enum class Top { kRemove, kKeep };

/**
 * Removes what lies at `below`, a relative path in `folder`: a file, a link itself, or a folder with all in
 * it. With `kKeep` it must be a folder (also `folder` itself, when `below` is empty), which stays, emptied.
 *
 * A link in place of `folder` is not followed, unless the path ends with a slash; one in place of a folder
 * below it never is. Folders whose owner took rights away get them back. Another file system or mount
 * below is not entered (EBUSY, EXDEV). Few descriptors are open at a time, however deep the tree is. What
 * isn't there is no error. Throws SystemError with the path for what can't be removed; the rest may be gone then.
 */
void Remove(const std::string& folder, const std::string& below, Top top);
