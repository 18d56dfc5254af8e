/* SPDX-License-Identifier: Apache-2.0 */
/* The first broken twin of team.pml, which says what is wrong with it. */
#define BROKEN 1
#include "team.pml"
