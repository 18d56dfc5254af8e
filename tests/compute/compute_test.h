/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels' tests share: the tables that this machine can run, and arrays that end
 * exactly where an unreadable page begins, so that a read or write past the end is a fault. */
#ifndef FBY_COMPUTE_TEST_H
#define FBY_COMPUTE_TEST_H

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compute/kernels.h"
#include "test.h"

typedef struct tables {
    const fby_kernels *table[FBY_ISA_COUNT];
    fby_isa isa[FBY_ISA_COUNT];
    uint32_t count;
} tables;

/* Each table once, plain C's first. */
static inline tables runnable_tables(void)
{
    tables found = {.count = 0};
    for (int isa = 0; isa < FBY_ISA_COUNT; isa++) {
        const fby_kernels *table = fby_kernels_for((fby_isa)isa);
        bool seen = !fby_isa_available((fby_isa)isa);
        for (uint32_t i = 0; i < found.count; i++)
            seen |= found.table[i] == table;
        if (seen)
            continue;
        found.isa[found.count] = (fby_isa)isa;
        found.table[found.count++] = table;
    }
    return found;
}

/* Memory whose last byte is the last before an unreadable page. */
typedef struct fenced {
    void *mapping;
    size_t mapping_bytes;
    float *floats; /* 4-byte aligned, 64-byte aligned if the size is a multiple of 64 */
    size_t count;
} fenced;

static inline fenced fenced_new(size_t count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (count * sizeof(float) + page - 1) / page * page + page;
    char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(mapping != MAP_FAILED);
    assert_int_equal(mprotect(mapping + bytes - page, page, PROT_NONE), 0);
    return (fenced){mapping, bytes, (float *)(void *)(mapping + bytes - page) - count, count};
}

static inline fenced fenced_random(fby_rng *rng, size_t count, float size)
{
    fenced array = fenced_new(count);
    for (size_t i = 0; i < count; i++)
        array.floats[i] = fby_rng_float(rng) * size;
    return array;
}

static inline void fenced_free(fenced *array)
{
    munmap(array->mapping, array->mapping_bytes);
}

/* Floats of a (rows, n) array whose rows are ld apart: the last row ends at n. */
static inline size_t matrix_floats(size_t rows, size_t n, size_t ld)
{
    return rows == 0 ? 0 : (rows - 1) * ld + n;
}

/* A value that no kernel writes, for what lies between rows. */
#define UNTOUCHED 0x1.23456p+77f

static inline fenced fenced_untouched(size_t count)
{
    fenced array = fenced_new(count);
    for (size_t i = 0; i < count; i++)
        array.floats[i] = UNTOUCHED;
    return array;
}

static inline void assert_gaps_untouched(const float *x, size_t rows, size_t n, size_t ld)
{
    for (size_t row = 0; row + 1 < rows; row++)
        for (size_t i = n; i < ld; i++)
            assert_true(x[row * ld + i] == UNTOUCHED);
}

static inline uint32_t pick(fby_rng *rng, uint32_t from, uint32_t to)
{
    return from + (uint32_t)fby_rng_below(rng, to - from + 1);
}

#endif
