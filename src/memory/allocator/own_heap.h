/* SPDX-License-Identifier: Apache-2.0 */
/* What the rest of the allocator has to know of heaps of one's own. */
#ifndef FBY_MEMORY_ALLOCATOR_OWN_HEAP_H
#define FBY_MEMORY_ALLOCATOR_OWN_HEAP_H

#include "memory/allocator/region.h"

/* A whole mapping is about to be freed: its heap, if it has one, forgets it. */
void fby_own_heap_forget(fby_span *span);

#endif
