/* SPDX-License-Identifier: Apache-2.0 */
/* How the code inside reports a failure; the codes are public. */
#ifndef FBY_BASE_STATUS_H
#define FBY_BASE_STATUS_H

#include "forebay/status.h"

/*
 * Keeps the formatted message (at most FBY_ERROR_SIZE - 1 bytes) for this
 * thread and returns `code`. Whoever first sees a fault calls it; callers pass
 * the code up. Never allocates.
 */
#define FBY_ERROR_SIZE 512
fby_status fby_error(fby_status code, const char *fmt, ...) FBY_PRINTF(2, 3);

/* As fby_error(), with ": " and strerror(`errnum`) appended. */
fby_status fby_error_errno(fby_status code, int errnum, const char *fmt, ...) FBY_PRINTF(3, 4);

/* Puts "`prefix`: " before this thread's message; returns `code`. For a caller
 * that knows more: which file, which line. */
fby_status fby_error_prefix(fby_status code, const char *fmt, ...) FBY_PRINTF(2, 3);

#ifdef __clang_analyzer__ /* what follows a failure is not reached with FBY_OK */
#define fby_error(code, ...)               (fby_error((code), __VA_ARGS__), (code))
#define fby_error_errno(code, errnum, ...) (fby_error_errno((code), (errnum), __VA_ARGS__), (code))
#define fby_error_prefix(code, ...)        (fby_error_prefix((code), __VA_ARGS__), (code))
#endif

#endif
