/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status codes and the last error of a thread: what every Forebay header shares.
 *
 * A function that can fail returns fby_status: 0 is fine, negative is not.
 * Outputs are written only on success. The message behind a failure stays with
 * the thread that saw it until its next failure. FBY_EAGAIN is an answer (full,
 * empty, not yet), not an error, and leaves no message.
 */
#ifndef FOREBAY_STATUS_H
#define FOREBAY_STATUS_H

#if defined(__GNUC__)
#define FBY_API               __attribute__((visibility("default")))
#define FBY_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FBY_API
#define FBY_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fby_status {
    FBY_OK = 0,
    FBY_EAGAIN = -1,       /* no room, or nothing there yet: try later */
    FBY_EINVAL = -2,       /* an argument or a setting is wrong */
    FBY_ENOMEM = -3,       /* the system gave no memory */
    FBY_EIO = -4,          /* a file or a socket failed */
    FBY_ENOENT = -5,       /* a file, tensor or name is missing */
    FBY_EFORMAT = -6,      /* bytes from outside are not what they claim to be */
    FBY_EUNSUPPORTED = -7, /* well-formed, but not something this build does */
    FBY_ECANCELED = -8,    /* stopped because the caller asked */
    FBY_ETOOLONG = -9,     /* a text exceeds the model's limit and may not be cut */
    FBY_EENCODING = -10,   /* invalid UTF-8 where only valid is accepted */
    FBY_ENOTFINITE = -11,  /* a result holds NaN or infinity: the model's weights do, or overflow */
    FBY_ESTALLED = -12     /* a worker made no progress for too long */
} fby_status;

/* The code's name, "FBY_EINVAL"; "FBY_UNKNOWN" for any other number. Any thread. */
FBY_API const char *fby_status_name(fby_status status);

/* What this thread's last failure said; "" before the first. Valid until the
 * thread's next failure. */
FBY_API const char *fby_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
