/* SPDX-License-Identifier: Apache-2.0 */
/* heap_move.pml with a hole that is not held: must be caught. */
#define HOLE_BROKEN
#include "heap_move.pml"
