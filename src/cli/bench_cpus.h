/* SPDX-License-Identifier: Apache-2.0 */
/* Processors of their own for a bench's threads. */
#ifndef FBY_CLI_BENCH_CPUS_H
#define FBY_CLI_BENCH_CPUS_H

#include <stdint.h>

/* The first `count` that this process may use; each is -1, anywhere, where there are fewer. */
void fby_bench_cpus(int *cpus, uint32_t count);

/* Keeps the calling thread on `cpu`; -1: anywhere. */
void fby_bench_pin(int cpu);

#endif
