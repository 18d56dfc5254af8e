/* SPDX-License-Identifier: Apache-2.0 */
/* Tells systemd what the service is at (sd_notify(3)'s protocol, without its library). */
#ifndef FBY_SERVE_NOTIFY_H
#define FBY_SERVE_NOTIFY_H

/* `state` is "READY=1", "STOPPING=1". Nothing happens where nobody asked to be told (the
 * environment's NOTIFY_SOCKET). Any thread. */
void fby_notify(const char *state);

#endif
