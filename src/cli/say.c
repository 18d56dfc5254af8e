/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/say.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *speaker = "forebay";

void fby_say_as(const char *name)
{
    speaker = name;
}

void fby_say(const char *fmt, ...)
{
    /* A progress bar stands on the terminal's last line: write over it. */
    const char *clear = isatty(STDERR_FILENO) ? "\r\033[K" : "";
    char line[4096];
    int used = snprintf(line, sizeof line - 1, "%s%s: ", clear, speaker);

    va_list args;
    va_start(args, fmt);
    vsnprintf(line + used, sizeof line - 1 - (size_t)used, fmt, args);
    va_end(args);
    size_t size = strlen(line);
    /* Names of files are anybody's: they neither steer the terminal nor begin a line. */
    for (size_t at = strlen(clear); at < size; at++)
        if ((unsigned char)line[at] < 0x20 || line[at] == 0x7f)
            line[at] = '?';
    line[size++] = '\n';
    if (write(STDERR_FILENO, line, size) < 0) {
        /* Nowhere left to say it. */
    }
}

void fby_say_texts(uint64_t texts, uint64_t truncated, uint64_t replaced, uint32_t max_tokens)
{
    if (truncated > 0)
        fby_say("%" PRIu64 " of %" PRIu64 " texts were longer than %u tokens and were cut",
                truncated, texts, max_tokens);
    if (replaced > 0)
        fby_say("%" PRIu64 " of %" PRIu64 " texts held invalid UTF-8, replaced by U+FFFD", replaced,
                texts);
}
