/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FBY_ENGINE_THREADS_H
#define FBY_ENGINE_THREADS_H

#include <signal.h>

/* Around the start of threads, which inherit it: the program's signals are for its own threads, a
 * worker takes none but those of its own faults. */
static inline void fby_block_signals(sigset_t *before)
{
    sigset_t set;
    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

#endif
