/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/commands.h"
#include "cli/model_choice.h"
#include "cli/say.h"
#include "serve/server.h"
#include "serve/settings.h"

struct options {
    fby_cli_list said[FBY_SETTING_COUNT]; /* the config reads and checks them */
    const char *file;
    bool check;
};

/* How a setting of a kind is given as a flag. */
enum {
    BOOL = FBY_CLI_LIST_OR,
    EITHER = FBY_CLI_LIST,
    UINT = FBY_CLI_LIST,
    SIZE = FBY_CLI_LIST,
    MS = FBY_CLI_LIST,
    TEXT = FBY_CLI_LIST,
    CHOICE = FBY_CLI_LIST,
    LIST = FBY_CLI_LIST,
    MODELS = FBY_CLI_LIST,
    KEYS = FBY_CLI_LIST
};

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_TEXT,
     .letter = 'c',
     .name = "config",
     .argument = "FILE",
     .help = "YAML that has each option below as a key, with _ for -",
     .offset = offsetof(struct options, file)},
    {.kind = FBY_CLI_FLAG,
     .name = "check-config",
     .help = "print the settings, where each comes from and what is wrong, then leave",
     .offset = offsetof(struct options, check)},
#define SETTING(id, letter_, flag, kind_, argument_, field, least, most, words, variable, changes, \
                words_of_help)                                                                     \
    {                                                                                              \
        .kind = (fby_cli_kind)(kind_),                                                             \
        .letter = letter_,                                                                         \
        .name = flag,                                                                              \
        .argument = argument_,                                                                     \
        .help = words_of_help,                                                                     \
        .choices = words,                                                                          \
        .offset = offsetof(struct options, said) + FBY_SETTING_##id * sizeof(fby_cli_list),        \
    },
#include "serve/settings.def"
#undef SETTING
    {.kind = FBY_CLI_END},
};

/* Each note as a line of its own. */
static void say_notes(const fby_config_notes *notes)
{
    const char *line = notes->text != NULL ? notes->text : "";

    while (line[0] != '\0') {
        size_t size = strcspn(line, "\n");
        fby_say("%.*s", (int)size, line);
        line += size + (line[size] == '\n');
    }
    if (notes->faults > 0 && notes->text == NULL)
        fby_say("%s", fby_last_error());
}

static int check(const fby_serve_config *config, fby_status status)
{
    fby_serve_config_print(config, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fby_say("standard output cannot be written");
        return FBY_EXIT_FAILED;
    }
    return status == FBY_OK ? FBY_EXIT_OK : FBY_EXIT_USAGE;
}

static int serve(const struct options *options, const fby_config_inputs *inputs)
{
    fby_serve_config config;
    fby_config_notes notes;
    int code = FBY_EXIT_USAGE;

    fby_status status = fby_serve_config_load(&config, inputs, &notes);
    say_notes(&notes);
    fby_config_notes_clear(&notes);
    if (options->check) {
        code = check(&config, status);
    } else if (status == FBY_OK) {
        code = fby_serve_run(&config);
    }
    fby_serve_config_clear(&config);
    return code;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    fby_config_texts flags[FBY_SETTING_COUNT];
    char dir[PATH_MAX];
    int code;
    if (!fby_cli_parse(self, argc, argv, &options, NULL, &code))
        return code;

    for (int i = 0; i < FBY_SETTING_COUNT; i++)
        flags[i] = (fby_config_texts){options.said[i].items, options.said[i].count};
    const char *file = options.file != NULL ? options.file : getenv("FBY_CONFIG");
    fby_config_inputs inputs = {
        .flags = flags,
        .environment = (const char *const *)environ,
        .file = file != NULL && file[0] != '\0' ? file : NULL,
        .default_model = fby_model_choice_dir(&(fby_model_choice){0}, dir) == FBY_OK ? dir : NULL,
    };
    return serve(&options, &inputs);
}

const fby_cli_command fby_command_serve = {
    .name = "forebay serve",
    .summary = "embeddings over HTTP, for OpenAI's clients and others",
    .options = options_table,
    .details = "Each option is a key of the YAML file, with _ for -, and a variable of the\n"
               "environment, FBY_ before it in capitals: --max-texts is max_texts: and\n"
               "FBY_MAX_TEXTS. An option goes before a variable, a variable before the file.\n"
               "Variables of text-embeddings-inference (MODEL_ID, PORT, ...) are read, too.\n"
               "\n"
               "SIGTERM stops listening, answers what is in flight and leaves. SIGHUP reads the\n"
               "file again: keys and their limits, CORS, bounds of requests, time-outs, logs.\n"
               "\n"
               "Examples:\n"
               "  forebay serve\n"
               "  forebay serve -m models/all-MiniLM-L6-v2 --alias text-embedding-3-small\n"
               "  forebay serve --config forebay.yaml --check-config\n"
               "  curl localhost:8080/v1/embeddings -H 'content-type: application/json' \\\n"
               "       -d '{\"model\":\"all-MiniLM-L6-v2\",\"input\":\"a pool of water\"}'\n",
    .run = run,
};
