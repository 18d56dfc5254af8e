/* SPDX-License-Identifier: Apache-2.0 */
/* A broken twin of bulk.pml, which says what is wrong with it. */
#define BROKEN_PARK
#include "bulk.pml"
