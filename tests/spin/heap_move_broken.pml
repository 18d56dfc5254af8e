/* SPDX-License-Identifier: Apache-2.0 */
/* heap_move.pml with a pin that does not wait: must be caught. */
#define BROKEN
#include "heap_move.pml"
