// Rows of fixed length that begin with a hash, as segments hold them.
#pragma once

#include <cstddef>
#include <cstdint>

/**
 * Sorts `count` rows of `length` bytes by their first 32 bytes, in place. Of rows with equal ones the
 * first stays. Returns how many are left.
 */
size_t SortRows(uint8_t* rows, size_t count, size_t length);
