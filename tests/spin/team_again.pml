/* SPDX-License-Identifier: Apache-2.0 */
/* team.pml with a second batch behind the first. */
#define MEMBERS 2
#define BATCHES 2
#include "team.pml"
