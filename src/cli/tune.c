/* SPDX-License-Identifier: Apache-2.0 */
/* Measures what batches cost here, keeps it, and says what is chosen by it and why. */
#include <stdio.h>

#include "cli/commands.h"
#include "cli/model_choice.h"
#include "cli/say.h"
#include "engine/engine.h"
#include "engine/model.h"
#include "engine/plan.h"

struct options {
    fby_model_choice model;
};

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_END},
};

static void print_costs(const fby_costs *costs, uint32_t threads)
{
    printf("tokens a batch");
    for (uint32_t i = 0; i < FBY_COST_SIZES - 1; i++)
        printf("%10u", (unsigned)FBY_COST_SMALLEST << i);
    printf("\nus a token    ");
    for (uint32_t i = 0; i < FBY_COST_SIZES - 1; i++)
        printf("%10.1f", costs->batch_ns[i] / 1e3 / (FBY_COST_SMALLEST << i));
    for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= threads; i++) {
        printf("\n%3u to a batch", 1u << i);
        for (uint32_t size = 0; size < FBY_COST_SIZES - 1; size++)
            printf("%9.2fx", costs->gain[i][size]);
    }
    printf("\n\na pair of tokens in attention %.1f ns, a wake-up %.1f us\n", costs->pair_ns,
           costs->wake_ns / 1e3);
    for (uint32_t i = 1; i < FBY_COST_CROWDS && 1u << i <= threads; i++)
        printf("%u workers side by side: each at %.0f %% of its pace alone\n", 1u << i,
               100 * costs->pace[i]);
}

static double expected_ms(const fby_plan_input *input, fby_parallelism parallelism,
                          fby_strategy strategy, const fby_costs *costs, fby_plan *plan)
{
    fby_plan_input with = *input;
    with.parallelism = parallelism;
    with.strategy = strategy;
    fby_plan_make(&with, costs, plan);
    return plan->ns / 1e6;
}

static void print_choice(uint32_t texts, uint32_t length, uint32_t threads, const fby_tuner *tuner)
{
    const fby_costs *costs = &tuner->controller.costs;
    uint32_t tokens[FBY_PLAN_TEXTS];
    fby_plan plan;
    for (uint32_t i = 0; i < texts; i++)
        tokens[i] = length;
    fby_plan_input input = {.tokens = tokens,
                            .texts = texts,
                            .workers = threads,
                            .budget = tuner->controller.decision.tokens,
                            .texts_max = tuner->options.texts_max};
    double coarse = expected_ms(&input, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED, costs, &plan);
    double fine = expected_ms(&input, FBY_PARALLELISM_FINE, FBY_STRATEGY_FIXED, costs, &plan);
    double chosen =
        expected_ms(&input, tuner->options.parallelism, FBY_STRATEGY_AUTO, costs, &plan);
    input.workers = 1;
    fby_plan one;
    double alone = expected_ms(&input, FBY_PARALLELISM_COARSE, FBY_STRATEGY_FIXED, costs, &one);
    printf("%5u x %-4u %10.2f %10.2f %10.2f %10.2f   %u worker%s, %s\n", texts, length, alone,
           coarse, fine, chosen, plan.workers, plan.workers == 1 ? "" : "s",
           plan.team > 1 ? "sharing each batch" : "each with texts of its own");
}

static void print_choices(const fby_tuner *tuner, uint32_t threads)
{
    static const uint32_t texts[] = {1, 2, 4, 8, 32, 128}, lengths[] = {4, 64, 256};
    printf("\nexpected ms   one worker     coarse       fine     chosen   with\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++)
            print_choice(texts[i], lengths[j], threads, tuner);
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;
    fby_model *model = NULL;
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status = fby_model_choice_open(&options.model, &model);
    if (status == FBY_OK)
        status = fby_model_get_info(model, &info);
    if (status == FBY_OK)
        status = fby_model_tune(model);
    if (status == FBY_OK) {
        const fby_tuner *tuner = fby_engine_tuner(model->engine);
        print_costs(&tuner->controller.costs, info.threads);
        print_choices(tuner, info.threads);
        if (tuner->controller.costs.guessed > 0)
            fby_say("neighbours left no moment for %u of the measurements, which are guessed: run "
                    "it again on an idle machine",
                    tuner->controller.costs.guessed);
    }
    code = fby_cli_end(status);
    fby_model_close(model);
    return code;
}

const fby_cli_command fby_command_tune = {
    .name = "forebay tune",
    .summary = "measure what batches cost here; what is chosen by it, and why",
    .options = options_table,
    .details = "Takes about a second and every thread; means something on an idle machine only.\n"
               "What was measured is kept in the cache for this model, precision, instruction\n"
               "set, processor and number of threads; until then costs are guessed.\n"
               "\n"
               "Example:\n"
               "  forebay tune --precision int8\n",
    .run = run,
};
