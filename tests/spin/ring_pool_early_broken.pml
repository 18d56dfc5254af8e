/* SPDX-License-Identifier: Apache-2.0 */
/* ring_pool.pml with slices returned before the last look at them: must be caught. */
#define BROKEN 2
#include "ring_pool.pml"
