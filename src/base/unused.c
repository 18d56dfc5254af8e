/* SPDX-License-Identifier: Apache-2.0 */
#include "base/unused.h"

#include <stdint.h>
#include <time.h>

enum { DAY_S = 24 * 60 * 60 };

static int64_t age_s(const struct stat *about)
{
    return (int64_t)time(NULL) - (int64_t)about->st_mtim.tv_sec;
}

void fby_used_now(int fd)
{
    struct stat about;
    const struct timespec now[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    if (fstat(fd, &about) == 0 && age_s(&about) > DAY_S)
        (void)futimens(fd, now);
}

bool fby_is_unused(const struct stat *about)
{
    return age_s(about) > (int64_t)FBY_UNUSED_DAYS * DAY_S;
}
