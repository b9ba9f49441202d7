// Removing a tree by descriptors: nothing outside of it is touched, whoever changes it meanwhile.
#pragma once

#include <string>

enum class What {
  /** A file, a link itself, or a folder with all in it. */
  kTree,
  /** What a folder holds, and its extended attributes: also those of `folder` itself, when `below` is empty. */
  kContents,
  /** A file, a link itself, or a folder that is empty; another folder stays as it is. */
  kSingle,
};

/**
 * Removes what lies at `below`, a relative path in `folder`.
 *
 * A link in place of `folder` is not followed, unless the path ends with a slash; one in place of a folder
 * below it never is. Folders whose owner took rights away get them back. Another file system or mount
 * below is not entered (EBUSY, EXDEV). Few descriptors are open at a time, however deep the tree is. What
 * isn't there is no error. Throws SystemError with the path for what can't be removed; the rest may be gone then.
 */
void Remove(const std::string& folder, const std::string& below, What what);
