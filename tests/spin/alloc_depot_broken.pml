/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_depot.pml without the count of changes: must be caught. */
#define BROKEN
#include "alloc_depot.pml"
