/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/costs.h"

#include <math.h>

/* A core's f32 operations a nanosecond, and what a batch costs beside its tokens, in tokens. Only
 * ratios matter to a plan, but for that of work to a wake-up. */
static const double GUESSED_RATE = 90.0, GUESSED_FIXED_TOKENS = 2.0;
static const double GUESSED_WAKE_NS = 50e3, GUESSED_SERIAL = 0.02;

static uint32_t size_at(int i)
{
    return (uint32_t)FBY_COST_SMALLEST << i;
}

void fby_costs_guess(uint64_t flops_per_token, uint64_t flops_per_token_pair, fby_costs *costs)
{
    const double token_ns = (double)flops_per_token / GUESSED_RATE;
    *costs = (fby_costs){.pair_ns = (double)flops_per_token_pair / GUESSED_RATE,
                         .wake_ns = GUESSED_WAKE_NS};
    for (int size = 0; size < FBY_COST_SIZES; size++)
        costs->batch_ns[size] = token_ns * ((double)size_at(size) + GUESSED_FIXED_TOKENS);
    for (int crowd = 0; crowd < FBY_COST_CROWDS; crowd++) {
        double members = (double)(1u << crowd);
        costs->pace[crowd] = 1.0;
        for (int size = 0; size < FBY_COST_SIZES; size++)
            costs->gain[crowd][size] = /* Amdahl's law */
                members / (1.0 + GUESSED_SERIAL * (members - 1.0));
    }
}

/* Where `x` lies between the powers of two from `smallest`: `*i` and the share of the next. */
static double between(double x, double smallest, int count, int *i)
{
    double at = log2(x / smallest);
    if (!(at > 0))
        at = 0;
    if (at > count - 1)
        at = count - 1;
    *i = at < count - 1 ? (int)at : count - 2;
    return at - *i;
}

double fby_costs_batch(const fby_costs *costs, uint32_t tokens, uint64_t pairs)
{
    const uint32_t largest = size_at(FBY_COST_SIZES - 1);
    double linear;
    if (tokens >= largest) {
        linear = costs->batch_ns[FBY_COST_SIZES - 1] * tokens / largest;
    } else if (tokens <= FBY_COST_SMALLEST) {
        linear = costs->batch_ns[0];
    } else {
        int i = 31 - __builtin_clz(tokens / FBY_COST_SMALLEST);
        double share = (double)(tokens - size_at(i)) / size_at(i);
        linear = costs->batch_ns[i] + share * (costs->batch_ns[i + 1] - costs->batch_ns[i]);
    }
    return linear + costs->pair_ns * (double)pairs;
}

double fby_costs_gain(const fby_costs *costs, uint32_t members, uint32_t tokens)
{
    if (members <= 1)
        return 1.0;
    int crowd, size;
    double c = between(members, 1, FBY_COST_CROWDS, &crowd);
    double s = between(tokens, FBY_COST_SMALLEST, FBY_COST_SIZES, &size);
    double low = costs->gain[crowd][size] * (1 - s) + costs->gain[crowd][size + 1] * s;
    double high = costs->gain[crowd + 1][size] * (1 - s) + costs->gain[crowd + 1][size + 1] * s;
    return fmin(fmax(low * (1 - c) + high * c, 1.0), members);
}

double fby_costs_pace(const fby_costs *costs, uint32_t at_work)
{
    int crowd;
    double c = between(at_work, 1, FBY_COST_CROWDS, &crowd);
    return costs->pace[crowd] * (1 - c) + costs->pace[crowd + 1] * c;
}

void fby_costs_settle(fby_costs *costs)
{
    costs->pace[0] = 1.0;
    for (int size = 0; size < FBY_COST_SIZES; size++)
        costs->gain[0][size] = 1.0;
    for (int crowd = 1; crowd < FBY_COST_CROWDS; crowd++) {
        const double members = (double)(1u << crowd);
        /* Twice as many at half the pace do as much. */
        costs->pace[crowd] = fmin(fmax(costs->pace[crowd], costs->pace[crowd - 1] / 2), 1.0);
        for (int size = 0; size < FBY_COST_SIZES; size++)
            costs->gain[crowd][size] =
                fmin(fmax(costs->gain[crowd][size], costs->gain[crowd - 1][size]), members);
    }
}

static bool within(double x, double least, double most)
{
    return x >= least && x <= most; /* false for NaN */
}

bool fby_costs_valid(const fby_costs *costs)
{
    bool valid = within(costs->pair_ns, 0, 1e6) && within(costs->wake_ns, 0, 1e8);
    for (int size = 0; size < FBY_COST_SIZES; size++)
        valid &= within(costs->batch_ns[size], size == 0 ? 1 : costs->batch_ns[size - 1], 1e13);
    for (int crowd = 0; crowd < FBY_COST_CROWDS; crowd++) {
        valid &= within(costs->pace[crowd], 0.01, 1.0);
        for (int size = 0; size < FBY_COST_SIZES; size++)
            valid &= within(costs->gain[crowd][size], 0.01, (double)(1u << crowd));
    }
    return valid;
}
