/* SPDX-License-Identifier: Apache-2.0 */
/* Which model a command works with, and how: the options that all of them share. */
#ifndef FBY_CLI_MODEL_CHOICE_H
#define FBY_CLI_MODEL_CHOICE_H

#include <limits.h>

#include "cli/command.h"
#include "forebay/embed.h"

typedef struct fby_model_choice {
    const char *dir;  /* NULL: the first of FBY_MODEL, models/all-MiniLM-L6-v2, an installed one */
    uint64_t threads; /* 0: as many of those that the process may use as pay */
    int precision;    /* fby_precision */
    int parallelism;  /* fby_parallelism */
    int goal;         /* fby_goal */
    uint64_t latency_target_ms;
} fby_model_choice;

/* For a command whose struct, `type`, has it as `member`. */
#define FBY_MODEL_OPTION(type, member)                                                             \
    {                                                                                              \
        .kind = FBY_CLI_TEXT, .letter = 'm', .name = "model", .argument = "DIR",                   \
        .help = "the model's directory (FBY_MODEL, else models/all-MiniLM-L6-v2, else an "         \
                "installed one)",                                                                  \
        .offset = offsetof(type, member) + offsetof(fby_model_choice, dir)                         \
    }
#define FBY_MODEL_OPTIONS(type, member)                                                            \
    FBY_MODEL_OPTION(type, member),                                                                \
        {.kind = FBY_CLI_UINT,                                                                     \
         .name = "threads",                                                                        \
         .argument = "N",                                                                          \
         .help = "threads at work; 0: as many as pay (0)",                                         \
         .offset = offsetof(type, member) + offsetof(fby_model_choice, threads),                   \
         .max = 1024},                                                                             \
        {.kind = FBY_CLI_CHOICE,                                                                   \
         .name = "parallelism",                                                                    \
         .argument = "P",                                                                          \
         .help = "auto; threads apart: coarse; sharing texts: fine",                               \
         .choices = "auto|coarse|fine",                                                            \
         .offset = offsetof(type, member) + offsetof(fby_model_choice, parallelism)},              \
    {                                                                                              \
        .kind = FBY_CLI_CHOICE, .name = "precision", .argument = "P",                              \
        .help = "of weights and products: f32, bf16 or int8 (f32)", .choices = "f32|bf16|int8",    \
        .offset = offsetof(type, member) + offsetof(fby_model_choice, precision)                   \
    }

/* And what is to be short. */
#define FBY_MODEL_GOAL_OPTIONS(type, member)                                                       \
    {.kind = FBY_CLI_CHOICE,                                                                       \
     .name = "goal",                                                                               \
     .argument = "G",                                                                              \
     .help = "what batches are sized for: throughput or latency (throughput)",                     \
     .choices = "throughput|latency",                                                              \
     .offset = offsetof(type, member) + offsetof(fby_model_choice, goal)},                         \
    {                                                                                              \
        .kind = FBY_CLI_UINT, .name = "latency-target-ms", .argument = "MS",                       \
        .help = "99 of 100 calls are to take no longer; batches shrink for it (0: no target)",     \
        .offset = offsetof(type, member) + offsetof(fby_model_choice, latency_target_ms),          \
        .max = 1000000                                                                             \
    }

/* The directory that `choice` means. FBY_ENOENT lists where it looked. */
fby_status fby_model_choice_dir(const fby_model_choice *choice, char dir[PATH_MAX]);

fby_status fby_model_choice_open(const fby_model_choice *choice, fby_model **model);

#endif
