/* SPDX-License-Identifier: Apache-2.0 */
/* A broken twin of workers.pml, which says what is wrong with it. */
#define BROKEN_MORE
#include "workers.pml"
