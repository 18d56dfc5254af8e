/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const uint64_t draw_every_ns = 100000000;

/* 950, 9.5k, 950k, 9.5M: four columns or so. */
static void short_number(double x, char text[16])
{
    static const char units[] = " kMGTP";
    unsigned unit = 0;

    for (; x >= 999.5 && unit + 2 < sizeof units; unit++)
        x /= 1000;
    snprintf(text, 16, unit > 0 && x < 9.95 ? "%.1f" : "%.0f", x);
    size_t size = strlen(text);
    text[size] = unit > 0 ? units[unit] : '\0';
    text[size + 1] = '\0';
}

static void clock_text(double seconds, char text[32])
{
    unsigned long whole = seconds < 359999 ? (unsigned long)(seconds + 0.5) : 359999;

    if (whole >= 3600)
        snprintf(text, 32, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%lu:%02lu", whole / 60, whole % 60);
}

void fby_progress_line(const fby_progress *progress, double seconds, char *line, size_t size)
{
    char texts[16], texts_per_s[16], tokens_per_s[16], left[32];

    short_number((double)progress->texts, texts);
    short_number((double)progress->texts / seconds, texts_per_s);
    short_number((double)progress->tokens / seconds, tokens_per_s);
    if (progress->total_bytes == 0 || progress->bytes == 0) {
        snprintf(line, size, "%s texts  %s texts/s  %s tokens/s", texts, texts_per_s, tokens_per_s);
        return;
    }
    double share = (double)progress->bytes / (double)progress->total_bytes;
    if (share > 1) /* the file grew */
        share = 1;
    enum { CELLS = 16 };
    int full = (int)(share * CELLS);
    clock_text(seconds * (1 - share) / share, left);
    snprintf(line, size, "[%.*s%*s] %3.0f%%  %s texts  %s texts/s  %s tokens/s  %s left", full,
             "################", CELLS - full, "", 100 * share, texts, texts_per_s, tokens_per_s,
             left);
}

void fby_progress_begin(fby_progress *progress, uint64_t total_bytes)
{
    const char *terminal = getenv("TERM");

    *progress = (fby_progress){
        .shown = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0,
        .started = fby_now_ns(),
        .total_bytes = total_bytes,
    };
}

static void draw(const char *line)
{
    char text[160];
    int size = snprintf(text, sizeof text, "\r\033[K%s", line);
    if (write(STDERR_FILENO, text, (size_t)size) < 0) {
        /* Nowhere to show it. */
    }
}

void fby_progress_update(fby_progress *progress, uint64_t bytes, uint64_t texts, uint64_t tokens)
{
    uint64_t now = fby_now_ns();

    progress->bytes = bytes;
    progress->texts = texts;
    progress->tokens = tokens;
    if (!progress->shown || now - progress->drawn < draw_every_ns || now == progress->started)
        return;
    char line[128];
    fby_progress_line(progress, (double)(now - progress->started) * 1e-9, line, sizeof line);
    draw(line);
    progress->drawn = now;
}

void fby_progress_end(fby_progress *progress)
{
    if (progress->shown && progress->drawn != 0)
        draw("");
    progress->drawn = 0;
}
