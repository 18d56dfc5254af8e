/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>

#include "base/cpu.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "cli/say.h"

struct options {
    fby_model_choice model;
    bool json;
};

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_FLAG,
     .name = "json",
     .help = "one JSON object",
     .offset = offsetof(struct options, json)},
    {.kind = FBY_CLI_END},
};

/* Adds `value`; the object, and with it the whole, is NULL once something failed. */
static json_t *with(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *number(uint64_t x)
{
    return json_integer((json_int_t)x);
}

static json_t *describe(const char *dir, const fby_model_info *info)
{
    json_t *isas = json_array();
    for (int i = 0; i < FBY_ISA_COUNT; i++)
        if (fby_isa_available((fby_isa)i))
            json_array_append_new(isas, json_string(fby_isa_name((fby_isa)i)));

    json_t *o = with(json_object(), "version", json_string(FBY_VERSION));
    o = with(o, "model", json_string(dir));
    o = with(o, "architecture", json_string(info->architecture));
    o = with(o, "pooling", json_string(info->pooling));
    o = with(o, "normalizes", json_boolean(info->normalizes));
    o = with(o, "dim", number(info->dim));
    o = with(o, "full_dim", number(info->full_dim));
    o = with(o, "max_tokens", number(info->max_tokens));
    o = with(o, "layers", number(info->layers));
    o = with(o, "heads", number(info->heads));
    o = with(o, "hidden", number(info->hidden));
    o = with(o, "intermediate", number(info->intermediate));
    o = with(o, "vocabulary", number(info->vocabulary));
    o = with(o, "weight_bytes", number(info->weight_bytes));
    o = with(o, "flops_per_token", number(info->flops_per_token));
    o = with(o, "flops_per_token_pair", number(info->flops_per_token_pair));
    o = with(o, "fingerprint", json_string(info->fingerprint));
    o = with(o, "packed_path", json_string(info->packed_path));
    o = with(o, "cpu", json_string(fby_cpu_model()));
    o = with(o, "processors", number(fby_cpu_count()));
    o = with(o, "isas", isas);
    o = with(o, "isa", json_string(info->isa));
    o = with(o, "precision", json_string(info->precision));
    o = with(o, "threads", number(info->threads));
    return o;
}

static void print_list(const json_t *list)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry) printf("%s%s", i > 0 ? " " : "", json_string_value(entry));
    putchar('\n');
}

static void print_lines(json_t *described)
{
    const char *key;
    json_t *value;

    json_object_foreach(described, key, value)
    {
        printf("%-21s ", key);
        if (json_is_string(value))
            puts(json_string_length(value) > 0 ? json_string_value(value) : "none");
        else if (json_is_integer(value))
            printf("%lld\n", (long long)json_integer_value(value));
        else if (json_is_array(value))
            print_list(value);
        else
            puts(json_is_true(value) ? "yes" : "no");
    }
}

/* What to leave with. */
static int print_info(const struct options *options, const char *dir, const fby_model_info *info)
{
    json_t *described = describe(dir, info);
    if (described == NULL) {
        fby_say("no memory for a description");
        return FBY_EXIT_FAILED;
    }

    if (options->json) {
        if (json_dumpf(described, stdout, JSON_COMPACT) != 0 && ferror(stdout) == 0) {
            json_decref(described);
            fby_say("no memory for a description");
            return FBY_EXIT_FAILED;
        }
        putchar('\n');
    } else {
        print_lines(described);
    }
    json_decref(described);
    return fby_cli_printed();
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;

    char dir[PATH_MAX];
    fby_model *model = NULL;
    fby_model_info info = {.struct_size = sizeof info};
    fby_status status = fby_model_choice_dir(&options.model, dir);
    if (status == FBY_OK)
        status = fby_model_choice_open(&options.model, &model);
    if (status == FBY_OK)
        status = fby_model_get_info(model, &info);
    if (status == FBY_OK) {
        code = print_info(&options, dir, &info);
    } else {
        fby_say("%s", fby_last_error());
        code = fby_cli_exit(status);
    }
    fby_model_close(model);
    return code;
}

const fby_cli_command fby_command_info = {
    .name = "forebay info",
    .summary = "the model, its limits, this machine and the kernels in use",
    .options = options_table,
    .details = "Opens the model as embed does, so the first run packs its weights.\n"
               "\n"
               "Examples:\n"
               "  forebay info\n"
               "  FBY_ISA=avx2 forebay info --json | jq -r .fingerprint\n",
    .run = run,
};
