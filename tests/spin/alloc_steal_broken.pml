/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_steal.pml without its membarrier: must be caught. */
#define BROKEN
#include "alloc_steal.pml"
