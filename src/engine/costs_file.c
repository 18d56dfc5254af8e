/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/costs_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "model/cache.h"

enum { NAME_SIZE = FBY_HEX_SIZE + 32 };

/* Numbers are whole thousandths: their text is the same in every locale. */
static const double UNIT = 1000;
enum { DIGITS_MAX = 17 };

static size_t print_numbers(char *text, const char *key, const double *x, int count)
{
    int used = snprintf(text, FBY_COSTS_TEXT / 16, "%s", key);
    for (int i = 0; i < count; i++)
        used += snprintf(text + used, 32, " %lld", llround(x[i] * UNIT));
    used += snprintf(text + used, 2, "\n");
    return (size_t)used;
}

size_t fby_costs_print(const fby_costs *costs, const char *cpu, uint32_t threads, char *text)
{
    size_t used = (size_t)snprintf(
        text, 512, "forebay-costs 3\ncpu %.128s\nprocessors %" PRIu32 "\n", cpu, threads);
    used += print_numbers(text + used, "pair_ns", &costs->pair_ns, 1);
    used += print_numbers(text + used, "wake_ns", &costs->wake_ns, 1);
    used += print_numbers(text + used, "batch_ns", costs->batch_ns, FBY_COST_SIZES);
    used += print_numbers(text + used, "pace", costs->pace, FBY_COST_CROWDS);
    for (int i = 0; i < FBY_COST_CROWDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "gain %u", 1u << i);
        used += print_numbers(text + used, key, costs->gain[i], FBY_COST_SIZES);
    }
    return used;
}

static bool read_number(const char **at, double *x)
{
    uint64_t value = 0;
    int digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        if (digits == DIGITS_MAX)
            return false;
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *x = (double)value / UNIT;
    return digits > 0;
}

/* Moves `*at` behind the word and the numbers; false if others stand there. */
static bool read_numbers(const char **at, const char *key, double *x, int count)
{
    size_t size = strlen(key);
    if (strncmp(*at, key, size) != 0)
        return false;
    *at += size;
    for (int i = 0; i < count; i++) {
        if (*(*at)++ != ' ' || !read_number(at, &x[i]))
            return false;
    }
    return *(*at)++ == '\n';
}

bool fby_costs_parse(const char *text, const char *cpu, uint32_t threads, fby_costs *out)
{
    char head[512];
    int size = snprintf(head, sizeof head, "forebay-costs 3\ncpu %.128s\nprocessors %" PRIu32 "\n",
                        cpu, threads);
    if (strncmp(text, head, (size_t)size) != 0)
        return false;
    const char *at = text + size;
    fby_costs costs = {.measured = true};
    bool good = read_numbers(&at, "pair_ns", &costs.pair_ns, 1) &&
                read_numbers(&at, "wake_ns", &costs.wake_ns, 1) &&
                read_numbers(&at, "batch_ns", costs.batch_ns, FBY_COST_SIZES) &&
                read_numbers(&at, "pace", costs.pace, FBY_COST_CROWDS);
    for (int i = 0; good && i < FBY_COST_CROWDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "gain %u", 1u << i);
        good = read_numbers(&at, key, costs.gain[i], FBY_COST_SIZES);
    }
    if (!good || *at != '\0' || !fby_costs_valid(&costs))
        return false;
    fby_costs_settle(&costs);
    *out = costs;
    return true;
}

bool fby_costs_load(const char *cache_dir, const char *fingerprint, uint32_t threads,
                    fby_costs *costs)
{
    char name[NAME_SIZE], text[FBY_COSTS_TEXT + 1];
    fby_cache cache;
    ssize_t size = -1;
    fby_cache_open(cache_dir, &cache);
    if (cache.dir < 0)
        return false;
    snprintf(name, sizeof name, "%.32s.costs", fingerprint);
    int file = openat(cache.dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file >= 0) {
        size = read(file, text, FBY_COSTS_TEXT);
        close(file);
    }
    fby_cache_close(&cache);
    if (size < 0)
        return false;
    text[size] = '\0';
    return fby_costs_parse(text, fby_cpu_model(), threads, costs);
}

/* Under a name of its own first, so that a reader finds a whole file or none. */
static bool write_whole(int dir, const char *name, const char *text, size_t size)
{
    char fresh[NAME_SIZE + 16];
    snprintf(fresh, sizeof fresh, "%s.%ld", name, (long)getpid());
    int file = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return false;
    bool written = write(file, text, size) == (ssize_t)size;
    written &= close(file) == 0;
    if (written && renameat(dir, fresh, dir, name) == 0)
        return true;
    unlinkat(dir, fresh, 0);
    return false;
}

fby_status fby_costs_store(const char *cache_dir, const char *fingerprint, uint32_t threads,
                           const fby_costs *costs)
{
    char name[NAME_SIZE], text[FBY_COSTS_TEXT];
    fby_cache cache;
    fby_cache_open(cache_dir, &cache);
    if (cache.dir < 0)
        return FBY_OK;
    snprintf(name, sizeof name, "%.32s.costs", fingerprint);
    size_t size = fby_costs_print(costs, fby_cpu_model(), threads, text);
    bool written = write_whole(cache.dir, name, text, size);
    fby_cache_close(&cache);
    return written ? FBY_OK : fby_error(FBY_EIO, "%s/%s: cannot be written", cache.path, name);
}
