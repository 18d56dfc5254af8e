/* SPDX-License-Identifier: Apache-2.0 */
/* Whole pages from the system, zeroed, for memory that is taken once. Any thread. */
#ifndef FBY_BASE_PAGES_H
#define FBY_BASE_PAGES_H

#include <stddef.h>

#include "base/status.h"

/*
 * Maps at least `size` bytes, page-aligned, and touches every page on the
 * calling thread, so that they lie on its NUMA node and never fault later.
 * Huge pages where the system grants them. FBY_ENOMEM otherwise.
 */
fby_status fby_pages_map(size_t size, void **pages);

/* `size` as given to fby_pages_map(); NULL is fine. */
void fby_pages_unmap(void *pages, size_t size);

#endif
