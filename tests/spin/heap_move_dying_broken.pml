/* SPDX-License-Identifier: Apache-2.0 */
/* heap_move.pml with a release that frees what is moving: must be caught. */
#define DYING_BROKEN
#include "heap_move.pml"
