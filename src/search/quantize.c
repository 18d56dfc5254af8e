/* SPDX-License-Identifier: Apache-2.0 */
#include "search/quantize.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Below this the quotients would lose their last bits to underflow; such a vector is its error. */
#define SMALLEST 0x1p-60f

/* Sums of FBY_DIM_MAX doubles and their root are off by far less. */
#define ROUND_UP (1.0 + 0x1p-30)

static float largest(const float *x, uint32_t n)
{
    float most = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return INFINITY;
        most = fmaxf(most, fabsf(x[i]));
    }
    return most;
}

static float at_least(double x)
{
    float y = (float)x;
    return (double)y < x ? nextafterf(y, INFINITY) : y;
}

static uint32_t vector_check(const float *vector, uint32_t dim)
{
    return (uint32_t)XXH3_64bits(vector, fby_vector_stride(dim) * sizeof *vector);
}

static double length_of(const float *x, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum) * ROUND_UP;
}

void fby_search_row_make(const float *vector, uint32_t dim, int8_t *codes, fby_search_row *row)
{
    const int16_t *weights = fby_code_weights();
    float most = largest(vector, dim);

    memset(codes, 0, fby_code_stride(dim));
    *row = (fby_search_row){.vector_check = vector_check(vector, dim)};
    if (most == INFINITY) {
        row->error = INFINITY;
        return;
    }
    if (most < SMALLEST) {
        row->error = at_least(length_of(vector, dim));
        return;
    }
    row->scale = most / 127.0f;
    double sum = 0.0;
    for (uint32_t i = 0; i < dim; i++) {
        long code = lrintf(vector[i] / row->scale);
        code = code > 127 ? 127 : code < -127 ? -127 : code;
        double left = (double)vector[i] - (double)row->scale * (double)code;
        codes[i] = (int8_t)code;
        sum += left * left;
        row->code_check += (uint32_t)((int32_t)code * weights[i]);
    }
    row->error = at_least(sqrt(sum) * ROUND_UP);
}

static int16_t weights[FBY_DIM_MAX];

/* Odd numbers from splitmix64 (Steele, Lea, Flood 2014), the same in every process. */
static void make_weights(void)
{
    uint64_t state = 0x666f726562617931u;
    for (int i = 0; i < FBY_DIM_MAX; i++) {
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        weights[i] = (int16_t)((int32_t)((z >> 40) & 0xfffe) - 32767);
    }
}

const int16_t *fby_code_weights(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_weights);
    return weights;
}

bool fby_search_row_vector_is_whole(const fby_search_row *row, const float *vector, uint32_t dim)
{
    return row->vector_check == vector_check(vector, dim);
}

fby_status fby_query_quantize(const float *query, uint32_t dim, fby_query_codes *codes)
{
    if (dim == 0 || dim > FBY_DIM_MAX)
        return fby_error(FBY_EINVAL, "a query of %u dimensions", dim);
    float most = largest(query, dim);
    if (most == INFINITY)
        return fby_error(FBY_EINVAL, "the query's vector has a part that is not finite");

    size_t stride = fby_code_stride(dim);
    memset(codes->codes, 0, stride * sizeof codes->codes[0]);
    codes->length = length_of(query, dim);
    codes->error = codes->length;
    codes->scale = 0.0f;
    if (most < SMALLEST)
        return FBY_OK;

    /* |code| ≤ 128 in a damaged file too: dim · 128 · limit < 2^31. */
    int32_t limit = INT32_MAX / (int32_t)(128 * stride);
    limit = limit < INT16_MAX ? limit : INT16_MAX;
    codes->scale = most / (float)limit;
    double sum = 0.0;
    for (uint32_t i = 0; i < dim; i++) {
        long code = lrintf(query[i] / codes->scale);
        code = code > limit ? limit : code < -limit ? -limit : code;
        double left = (double)query[i] - (double)codes->scale * (double)code;
        codes->codes[i] = (int16_t)code;
        sum += left * left;
    }
    codes->error = sqrt(sum) * ROUND_UP;
    return FBY_OK;
}
