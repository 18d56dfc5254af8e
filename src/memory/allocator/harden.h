/* SPDX-License-Identifier: Apache-2.0 */
/* What happens when a program hands over a pointer that cannot be right: a line
 * on stderr, then abort. Never for want of memory. */
#ifndef FBY_MEMORY_ALLOCATOR_HARDEN_H
#define FBY_MEMORY_ALLOCATOR_HARDEN_H

#include "base/platform.h"

/* "forebay: block 0x…: WHAT". Allocates nothing. */
_Noreturn FBY_COLD void fby_harden_fail(const void *pointer, const char *what);

enum {
    FBY_FILL_NEW = 0xd3,  /* what a block holds that was just allocated, where that is filled */
    FBY_FILL_FREE = 0xdf, /* and one that was freed */
};

#define FBY_DOUBLE_FREE "block is free already"
#define FBY_NOT_A_BLOCK "pointer is not the beginning of a block"
#define FBY_FOREIGN     "pointer does not belong to this allocator"

#endif
