/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans for more workers than there are, by the costs measured here. A batch
 * takes what it was measured to take; workers beyond those measured keep the
 * pace of the last crowd, and teams gain by Amdahl's law (1967) with the serial
 * part that a team of two shows. So memory bandwidth shared by many is not in
 * it: an upper bound, and every row says that it is simulated.
 */
#include "cli/bench_workers.h"
#include "cli/say.h"
#include "engine/model.h"
#include "engine/plan.h"

static void extrapolate(fby_costs *costs, uint32_t measured)
{
    for (int i = 1; i < FBY_COST_CROWDS; i++) {
        if (1u << i <= measured)
            continue;
        const double members = (double)(1u << i);
        for (int size = 0; size < FBY_COST_SIZES; size++) {
            double serial = measured > 1 ? 2 / costs->gain[1][size] - 1 : 0.05;
            serial = serial > 0 ? serial : 0;
            costs->gain[i][size] = members / (1 + serial * (members - 1));
        }
    }
}

static void report_point(fby_report *report, const fby_tuner *tuner, const fby_costs *costs,
                         uint32_t workers, uint32_t batch, uint32_t length)
{
    static uint32_t tokens[FBY_PLAN_TEXTS];
    static fby_plan plan;
    uint64_t all = 0;
    for (uint32_t i = 0; i < batch; i++)
        all += tokens[i] = length != 0 ? length : fby_workers_mixed_length(i);
    fby_plan_input input = {.tokens = tokens,
                            .texts = batch,
                            .workers = 1,
                            .budget = tuner->options.limits.tokens,
                            .texts_max = tuner->options.texts_max};
    fby_plan_make(&input, costs, &plan);
    const double alone = plan.ns;
    input.workers = workers;
    fby_plan_make(&input, costs, &plan);
    fby_report_bool(report, "simulated", true);
    fby_report_text(report, "strategy", "auto");
    fby_report_uint(report, "workers", workers);
    fby_report_uint(report, "used", plan.workers);
    fby_report_uint(report, "team", plan.team);
    fby_report_uint(report, "batch", batch);
    fby_report_uint(report, "length", length);
    fby_report_real(report, "texts_per_s", batch * 1e9 / plan.ns);
    fby_report_real(report, "tokens_per_s", (double)all * 1e9 / plan.ns);
    fby_report_real(report, "p50_ms", plan.ns / 1e6);
    fby_report_real(report, "speedup", alone / plan.ns);
    fby_report_real(report, "efficiency", alone / plan.ns / workers);
    fby_report_row(report);
}

fby_status fby_workers_simulate(const fby_workers_options *options, fby_report *report)
{
    static const uint32_t batches[] = {1, 8, 32, 128}, lengths[] = {4, 64, 256, 0};
    fby_model *model = NULL;
    fby_status status =
        fby_workers_open(options, 0, FBY_PARALLELISM_AUTO, FBY_STRATEGY_AUTO, &model);
    if (status == FBY_OK)
        status = fby_model_tune(model);
    if (status == FBY_OK) {
        const fby_tuner *tuner = fby_engine_tuner(model->engine);
        fby_costs costs = tuner->controller.costs;
        const uint32_t largest = 1u << (FBY_COST_CROWDS - 1);
        if (options->simulate > largest)
            fby_say("beyond %u workers a team gains what one of %u does", largest, largest);
        extrapolate(&costs, model->threads);
        for (uint32_t workers = 1; workers <= options->simulate; workers *= 2)
            for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
                for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++)
                    report_point(report, tuner, &costs, workers, batches[i], lengths[j]);
    }
    fby_model_close(model);
    return status;
}
