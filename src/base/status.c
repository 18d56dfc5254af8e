/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[FBY_ERROR_SIZE];

const char *fby_last_error(void)
{
    return last_error;
}

const char *fby_status_name(fby_status status)
{
    switch (status) {
    case FBY_OK:
        return "FBY_OK";
    case FBY_EAGAIN:
        return "FBY_EAGAIN";
    case FBY_EINVAL:
        return "FBY_EINVAL";
    case FBY_ENOMEM:
        return "FBY_ENOMEM";
    case FBY_EIO:
        return "FBY_EIO";
    case FBY_ENOENT:
        return "FBY_ENOENT";
    case FBY_EFORMAT:
        return "FBY_EFORMAT";
    case FBY_EUNSUPPORTED:
        return "FBY_EUNSUPPORTED";
    case FBY_ECANCELED:
        return "FBY_ECANCELED";
    case FBY_ETOOLONG:
        return "FBY_ETOOLONG";
    case FBY_EENCODING:
        return "FBY_EENCODING";
    case FBY_ENOTFINITE:
        return "FBY_ENOTFINITE";
    case FBY_ESTALLED:
        return "FBY_ESTALLED";
    }
    return "FBY_UNKNOWN";
}

fby_status(fby_error)(fby_status code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(last_error, sizeof last_error, fmt, args);
    va_end(args);
    return code;
}

fby_status(fby_error_errno)(fby_status code, int errnum, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(last_error, sizeof last_error, fmt, args);
    va_end(args);

    size_t used = strlen(last_error);
    char reason[128];
    snprintf(last_error + used, sizeof last_error - used, ": %s",
             strerror_r(errnum, reason, sizeof reason));
    return code;
}

fby_status(fby_error_prefix)(fby_status code, const char *fmt, ...)
{
    char message[FBY_ERROR_SIZE];
    memcpy(message, last_error, sizeof message);

    va_list args;
    va_start(args, fmt);
    vsnprintf(last_error, sizeof last_error, fmt, args);
    va_end(args);

    size_t used = strlen(last_error);
    snprintf(last_error + used, sizeof last_error - used, ": %s", message);
    return code;
}
