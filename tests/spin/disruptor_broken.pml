/* SPDX-License-Identifier: Apache-2.0 */
/* disruptor.pml with its marks too early: must be caught. */
#define BROKEN
#include "disruptor.pml"
