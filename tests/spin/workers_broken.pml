/* SPDX-License-Identifier: Apache-2.0 */
/* The broken twin of workers.pml, which says what is wrong with it. */
#define BROKEN
#include "workers.pml"
