/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measured costs, kept in the user's cache: a file of text a model, precision
 * and instruction set (their fingerprint) that says of which machine it is.
 *
 *     FINGERPRINT.costs:   forebay-costs 3
 *                          cpu NAME
 *                          processors N
 *                          pair_ns X | wake_ns X | batch_ns X … | pace X … | gain MEMBERS X …
 *
 * Another machine's, one that does not parse or has numbers that cannot be, is
 * as none.
 */
#ifndef FBY_ENGINE_COSTS_FILE_H
#define FBY_ENGINE_COSTS_FILE_H

#include <stddef.h>

#include "base/status.h"
#include "engine/costs.h"

/* `cache_dir` as in fby_model_options. False if there is none that can be used. */
bool fby_costs_load(const char *cache_dir, const char *fingerprint, uint32_t threads,
                    fby_costs *costs);

/* FBY_EIO if it cannot be written, FBY_OK where there is no cache to keep it in. */
fby_status fby_costs_store(const char *cache_dir, const char *fingerprint, uint32_t threads,
                           const fby_costs *costs);

/* The file's text, for tests and fuzzing; a size of at least FBY_COSTS_TEXT. */
enum { FBY_COSTS_TEXT = 8192 };
size_t fby_costs_print(const fby_costs *costs, const char *cpu, uint32_t threads, char *text);
bool fby_costs_parse(const char *text, const char *cpu, uint32_t threads, fby_costs *costs);

#endif
