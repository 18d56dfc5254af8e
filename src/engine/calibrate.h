/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures fby_costs: batches of each size alone, by teams, and beside others;
 * attention's pairs; a wake-up. About a second, with `threads` processors.
 *
 * Threads: any; starts and ends its own. Takes their scratch while it runs.
 */
#ifndef FBY_ENGINE_CALIBRATE_H
#define FBY_ENGINE_CALIBRATE_H

#include "engine/costs.h"
#include "model/encoder.h"

/* What is not measured (crowds beyond `threads`, batches above 256 tokens) is continued from what
 * is. FBY_ENOMEM. */
fby_status fby_calibrate(const fby_encoder *encoder, uint32_t threads, fby_costs *costs);

#endif
