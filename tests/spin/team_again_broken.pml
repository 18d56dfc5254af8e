/* SPDX-License-Identifier: Apache-2.0 */
/* team_again.pml with the word to stop taken back: must be caught. */
#define BROKEN 2
#include "team_again.pml"
