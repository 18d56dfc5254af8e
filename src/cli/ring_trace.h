/* SPDX-License-Identifier: Apache-2.0 */
/* Requests as an agent has them, replayed through a large and a small ring pool in turn. */
#ifndef FBY_CLI_RING_TRACE_H
#define FBY_CLI_RING_TRACE_H

#include "cli/bench_report.h"

/*
 * 64 requests in flight; 19 in 20 have 1 to 8 vectors, the others 1 to 64; each
 * answer is drawn from the oldest 8. Reports the pool of `pool_bytes` and that of
 * 1 MiB, `rounds` times in turn.
 */
fby_status fby_ring_trace(fby_report *report, uint64_t pool_bytes, uint64_t rounds);

#endif
