/* SPDX-License-Identifier: Apache-2.0 */
/* The broken twin of bulk.pml, which says what is wrong with it. */
#define BROKEN
#include "bulk.pml"
