/* SPDX-License-Identifier: Apache-2.0 */
/* waiting.pml with its order broken: must be caught. */
#define BROKEN
#include "waiting.pml"
