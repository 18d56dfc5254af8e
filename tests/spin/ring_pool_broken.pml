/* SPDX-License-Identifier: Apache-2.0 */
/* ring_pool.pml with the naive window: must be caught. */
#define BROKEN 1
#include "ring_pool.pml"
