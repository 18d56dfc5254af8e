/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizing speed on one thread, in the thread's own time:
 *
 *     bench_tokenizer [--json] MODEL_DIR FILE...
 *
 * opening: reading the vocabulary, from page cache.
 * lines: a call for each line of a file, special tokens included.
 * whole: one call for the whole file.
 *
 * Medians and quartiles of REPETITIONS; a file should hold some 100 kB or more.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "model/file.h"
#include "model/tokenizer.h"

enum { REPETITIONS = 11 };

typedef struct bench {
    bool json;
    const fby_tokenizer *tokenizer;
    const char *path;
    char *text;
    size_t size;
    uint32_t *ids; /* size + 2 */
} bench;

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const bench *b, const char *what, const char *unit, double *samples,
                   size_t tokens)
{
    qsort(samples, REPETITIONS, sizeof *samples, ascending);
    double q1 = samples[REPETITIONS / 4], median = samples[REPETITIONS / 2];
    double q3 = samples[REPETITIONS - 1 - REPETITIONS / 4];
    if (b->json)
        printf("{\"bench\":\"tokenizer\",\"cpu\":\"%s\",\"what\":\"%s\",\"file\":\"%s\","
               "\"bytes\":%zu,\"tokens\":%zu,\"repetitions\":%d,\"%s\":%.4g,\"%s_q1\":%.4g,"
               "\"%s_q3\":%.4g}\n",
               fby_cpu_model(), what, b->path, b->size, tokens, REPETITIONS, unit, median, unit, q1,
               unit, q3);
    else
        printf("%-8s %-24s %10zu bytes %9zu tokens  %8.4g %s (%.4g-%.4g)\n", what, b->path, b->size,
               tokens, median, unit, q1, q3);
}

static size_t encode(const bench *b, const char *text, size_t size)
{
    static const fby_encode_options options = {0};
    fby_encoding encoding;
    fby_tokenizer_encode(b->tokenizer, NULL, 0, text, size, &options, b->ids, b->size + 2,
                         &encoding);
    return encoding.count;
}

static size_t encode_lines(const bench *b)
{
    size_t tokens = 0;
    for (const char *at = b->text, *end = at + b->size; at < end;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        next = next != NULL ? next : end;
        tokens += encode(b, at, (size_t)(next - at));
        at = next + 1;
    }
    return tokens;
}

static void run_file(bench *b)
{
    for (int whole = 0; whole < 2; whole++) {
        double samples[REPETITIONS];
        size_t tokens = 0;
        for (int i = 0; i < REPETITIONS; i++) {
            double start = now_s();
            tokens = whole ? encode(b, b->text, b->size) : encode_lines(b);
            samples[i] = (double)b->size * 1e-6 / (now_s() - start);
        }
        report(b, whole ? "whole" : "lines", "mb_per_s", samples, tokens);
    }
}

static fby_status run_opening(bench *b, const char *dir, fby_tokenizer **tokenizer)
{
    double samples[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
        double start = now_s();
        fby_status status = fby_tokenizer_open(dir, tokenizer);
        if (status != FBY_OK)
            return status;
        samples[i] = (now_s() - start) * 1e3;
        if (i + 1 < REPETITIONS)
            fby_tokenizer_close(*tokenizer);
    }
    b->path = dir;
    report(b, "opening", "ms", samples, fby_tokenizer_vocabulary(*tokenizer));
    return FBY_OK;
}

int main(int argc, char **argv)
{
    bench b = {0};
    fby_tokenizer *tokenizer;
    int next = 1;
    if (next < argc && strcmp(argv[next], "--json") == 0) {
        b.json = true;
        next++;
    }
    if (argc - next < 1) {
        fprintf(stderr, "usage: bench_tokenizer [--json] MODEL_DIR FILE...\n");
        return 2;
    }
    fby_status status = run_opening(&b, argv[next++], &tokenizer);
    for (; status == FBY_OK && next < argc; next++) {
        b.tokenizer = tokenizer;
        b.path = argv[next];
        status = fby_file_read(b.path, SIZE_MAX / 8, &b.text, &b.size);
        if (status != FBY_OK)
            break;
        b.ids = malloc((b.size + 2) * sizeof *b.ids);
        if (b.ids == NULL) {
            status = fby_error(FBY_ENOMEM, "no memory for %zu ids", b.size);
            break;
        }
        run_file(&b);
        free(b.text);
        free(b.ids);
    }
    if (status != FBY_OK)
        fprintf(stderr, "bench_tokenizer: %s\n", fby_last_error());
    return status == FBY_OK ? 0 : 1;
}
