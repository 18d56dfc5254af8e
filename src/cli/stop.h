/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGINT and SIGTERM as something to ask for and to poll() on, so that a
 * command can end with its output whole. A second signal ends the process at
 * once. Any thread may ask; one call of fby_stop_listen() for the process.
 */
#ifndef FBY_CLI_STOP_H
#define FBY_CLI_STOP_H

#include <stdbool.h>

#include "base/status.h"

fby_status fby_stop_listen(void);

bool fby_stop_asked(void);

/* Readable from the first signal on; -1 before fby_stop_listen(). */
int fby_stop_fd(void);

#endif
