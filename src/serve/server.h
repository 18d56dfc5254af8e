/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server whole: models, workers, agents, from a configuration until a signal.
 *
 *     open models ─► workers ─► agents ─► ready ─SIGTERM─► draining ─► ended
 *
 * SIGTERM and SIGINT: nothing new is accepted, what is in flight is answered,
 * within grace_ms. A second one ends the waiting.
 */
#ifndef FBY_SERVE_SERVER_H
#define FBY_SERVE_SERVER_H

#include "serve/config.h"

/* Runs until told to stop. The main thread; the process's exit code: 0, or 1 where it did not
 * start, which has been said on standard error. */
int fby_serve_run(const fby_serve_config *config);

#endif
