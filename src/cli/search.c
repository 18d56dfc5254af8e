/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/model_choice.h"
#include "cli/progress.h"
#include "cli/say.h"
#include "cli/search_place.h"
#include "cli/search_show.h"
#include "cli/stop.h"
#include "search/tidy.h"
#include "search/update.h"

/* As grep: what was asked for is there, is not, or something went wrong. */
enum { EXIT_FOUND = 0, EXIT_NOT_FOUND = 1, EXIT_TROUBLE = 2 };

enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum { TOP_MAX = 100000, QUERY_BYTES = 1 << 20 };

struct options {
    fby_model_choice model;
    uint64_t top, context, max_file_size, passage_tokens;
    double min_score;
    const char *globs, *index, *query_prompt, *passage_prompt;
    bool json, hidden, no_ignore, verbose;
    int color;
};

#define AT(field) .offset = offsetof(struct options, field)

static const fby_cli_option options_table[] = {
    FBY_MODEL_OPTIONS(struct options, model),
    {.kind = FBY_CLI_UINT,
     .letter = 'n',
     .name = "top",
     .argument = "N",
     .help = "the N best passages (5)",
     .min = 1,
     .max = TOP_MAX,
     AT(top)},
    {.kind = FBY_CLI_REAL,
     .name = "min-score",
     .argument = "X",
     .help = "passages whose cosine with the query is X or more",
     AT(min_score)},
    {.kind = FBY_CLI_UINT,
     .letter = 'C',
     .name = "context",
     .argument = "N",
     .help = "N lines before and behind each passage",
     .max = 1000,
     AT(context)},
    {.kind = FBY_CLI_TEXT,
     .letter = 'g',
     .name = "glob",
     .argument = "LIST",
     .help = "files that '*.md,docs/**,!old*' names: patterns of .gitignore, the last that matches "
             "decides",
     AT(globs)},
    {.kind = FBY_CLI_FLAG, .name = "json", .help = "a JSON object a line", AT(json)},
    {.kind = FBY_CLI_TEXT,
     .name = "index",
     .argument = "FILE",
     .help = "keep the index in FILE (one in the user's cache)",
     AT(index)},
    {.kind = FBY_CLI_FLAG,
     .name = "hidden",
     .help = "names that begin with a dot, too",
     AT(hidden)},
    {.kind = FBY_CLI_FLAG,
     .name = "no-ignore",
     .help = "files that .gitignore leaves out, too",
     AT(no_ignore)},
    {.kind = FBY_CLI_SIZE,
     .name = "max-file-size",
     .argument = "SIZE",
     .help = "pass over larger files (4M)",
     .min = 1,
     .max = FBY_TEXT_MAX,
     AT(max_file_size)},
    {.kind = FBY_CLI_UINT,
     .name = "passage-tokens",
     .argument = "N",
     .help = "tokens of a passage, about (128)",
     .min = 8,
     .max = 8192,
     AT(passage_tokens)},
    {.kind = FBY_CLI_TEXT,
     .name = "query-prompt",
     .argument = "NAME",
     .help = "put the model's prompt of that name before a query",
     AT(query_prompt)},
    {.kind = FBY_CLI_TEXT,
     .name = "passage-prompt",
     .argument = "NAME",
     .help = "and that one before a passage",
     AT(passage_prompt)},
    {.kind = FBY_CLI_CHOICE,
     .name = "color",
     .argument = "WHEN",
     .help = "auto (terminals, no NO_COLOR), always or never",
     .choices = "auto|always|never",
     AT(color)},
    {.kind = FBY_CLI_FLAG,
     .letter = 'v',
     .name = "verbose",
     .help = "name what is passed over; say what was done",
     AT(verbose)},
    {.kind = FBY_CLI_END},
};

/* All that a search has at hand. */
struct search {
    const struct options *options;
    char *const *roots;
    size_t root_count;
    fby_model *model;
    char fingerprint[40], path[PATH_MAX]; /* path: of the index; "": in memory */
    char own[PATH_MAX];                   /* the same, as a walk sees it */
    fby_embedder embedder;
    fby_walk walk;
    fby_index index;
    uint64_t *hidden;
    fby_update_stats stats;
    fby_progress progress;
    bool progress_begun;
    size_t passed_over[FBY_PASSED_KINDS];
    fby_hit *hits; /* (options->top) */
    float *vector; /* of a query */
    uint32_t threads;
};

/* ---- the model as the index wants it ---- */

static fby_status count_tokens(void *context, const char *bytes, size_t size, uint32_t *tokens)
{
    const struct search *search = context;
    fby_tokenize_options options = FBY_TOKENIZE_OPTIONS_INIT;
    size_t count = 0;

    options.no_special = true;
    options.no_truncate = true;
    fby_status status =
        fby_tokenize(search->model, (fby_text){bytes, size}, &options, NULL, 0, &count, NULL);
    *tokens = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    return status;
}

static fby_status embed_with(const struct search *search, const fby_text *texts, size_t count,
                             const char *prompt, float *vectors)
{
    fby_embed_options options = FBY_EMBED_OPTIONS_INIT;
    options.normalize = FBY_NORMALIZE_YES;
    options.prompt_name = prompt;
    return fby_embed(search->model, texts, count, &options, vectors, NULL);
}

static fby_status embed_passages(void *context, const fby_text *texts, size_t count, float *vectors)
{
    const struct search *search = context;
    return embed_with(search, texts, count, search->options->passage_prompt, vectors);
}

static fby_status open_model(struct search *search)
{
    fby_model_info info = {.struct_size = sizeof info};
    const char *prompt = search->options->passage_prompt;

    fby_status status = fby_model_choice_open(&search->options->model, &search->model);
    if (status == FBY_OK)
        status = fby_model_get_info(search->model, &info);
    if (status != FBY_OK)
        return status;
    /* The prompt is part of what is embedded. */
    unsigned marks =
        prompt != NULL ? (unsigned)fby_hash_of(prompt, strlen(prompt)).low & 0xffffff : 0;
    snprintf(search->fingerprint, sizeof search->fingerprint,
             prompt != NULL ? "%.32s.%06x" : "%.32s", info.fingerprint, marks);
    search->embedder = (fby_embedder){.context = search,
                                      .fingerprint = search->fingerprint,
                                      .dim = info.dim,
                                      .max_tokens = info.max_tokens > 2 ? info.max_tokens - 2 : 1,
                                      .count = count_tokens,
                                      .embed = embed_passages};
    search->threads = info.threads;
    search->vector = malloc(info.dim * sizeof(float));
    search->hits = malloc(search->options->top * sizeof *search->hits);
    if (search->vector == NULL || search->hits == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a search");
    return FBY_OK;
}

/* ---- the index ---- */

static void note(void *context, const char *text)
{
    (void)context;
    fby_say("%s", text);
}

static void pass_over(void *context, const char *shown, fby_passed_over why)
{
    static const char *const words[FBY_PASSED_KINDS] = {"too large", "binary", "cannot be read"};
    struct search *search = context;
    search->passed_over[why]++;
    if (search->options->verbose)
        fby_say("passed over, %s: %s", words[why], shown);
}

static bool go_on(void *context, const fby_update_stats *stats)
{
    struct search *search = context;
    if (stats->bytes_to_read > 0) {
        if (!search->progress_begun)
            fby_progress_begin(&search->progress, stats->bytes_to_read);
        search->progress_begun = true;
        fby_progress_update(&search->progress, stats->bytes_read, stats->embedded + stats->reused,
                            stats->tokens);
    }
    return !fby_stop_asked();
}

static fby_status find_index_path(struct search *search)
{
    const struct options *options = search->options;
    const uint64_t settings[] = {options->hidden, options->no_ignore, options->max_file_size,
                                 options->passage_tokens};
    fby_search_place place = {.fingerprint = search->fingerprint,
                              .roots = (const char *const *)search->roots,
                              .root_count = search->root_count,
                              .settings = fby_hash_of(settings, sizeof settings).low};

    if (options->index != NULL) {
        char *target = fby_output_target(options->index);
        if (target == NULL)
            return fby_error_errno(FBY_EIO, errno, "--index %s", options->index);
        int used = snprintf(search->path, sizeof search->path, "%s", target);
        free(target);
        return used < (int)sizeof search->path - 16
                   ? FBY_OK
                   : fby_error(FBY_EINVAL, "--index: the path is too long");
    }
    if (fby_search_place_find(&place, search->path, sizeof search->path - 16) != FBY_OK) {
        search->path[0] = '\0';
        fby_say("no index is kept: %s", fby_last_error());
    }
    return FBY_OK;
}

/* The index as a walk would meet it, which it must not: it changes with every search. */
static void find_own(struct search *search)
{
    const char *slash = strrchr(search->path, '/');
    char dir[PATH_MAX], real[PATH_MAX];

    search->own[0] = '\0';
    snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : (int)(slash - search->path) + 1,
             slash == NULL ? "." : search->path);
    if (search->path[0] == '\0' || realpath(dir, real) == NULL)
        return;
    int used =
        snprintf(search->own, sizeof search->own, "%s%s%s", real, strcmp(real, "/") == 0 ? "" : "/",
                 slash == NULL ? search->path : slash + 1);
    if (used >= (int)sizeof search->own)
        search->own[0] = '\0';
}

static fby_status update_index(struct search *search, bool distrust)
{
    fby_update_options update = {.path = search->path[0] != '\0' ? search->path : NULL,
                                 .target_tokens = (uint32_t)search->options->passage_tokens,
                                 .careful = search->options->index != NULL,
                                 .distrust = distrust,
                                 .context = search,
                                 .go_on = go_on,
                                 .note = note,
                                 .passed_over = pass_over};
    fby_status status = fby_index_update(&update, &search->embedder, &search->walk, &search->index,
                                         &search->hidden, &search->stats);
    if (status == FBY_EIO && search->options->index == NULL && update.path != NULL) {
        fby_say("no index is kept: %s", fby_last_error());
        search->path[0] = '\0';
        update.path = NULL;
        status = fby_index_update(&update, &search->embedder, &search->walk, &search->index,
                                  &search->hidden, &search->stats);
    }
    if (search->progress_begun)
        fby_progress_end(&search->progress);
    search->progress_begun = false;
    search->index.rows.hidden = search->hidden;
    return status;
}

static void drop_index(struct search *search)
{
    fby_index_drop(&search->index);
    free(search->hidden);
    search->hidden = NULL;
}

static fby_status walk_roots(struct search *search)
{
    const struct options *options = search->options;
    fby_walk_options walking = {.globs = options->globs,
                                .hidden = options->hidden,
                                .no_ignore = options->no_ignore,
                                .file_bytes_max = options->max_file_size,
                                .own = search->own,
                                .passed_over = pass_over,
                                .context = search};
    return fby_walk_run((const char *const *)search->roots, search->root_count, &walking,
                        &search->walk);
}

static void say_passed_over(const struct search *search)
{
    const size_t *passed = search->passed_over;
    char text[160];
    size_t used = 0;

    if (passed[FBY_PASSED_BINARY] > 0)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %zu binary",
                                 passed[FBY_PASSED_BINARY]);
    if (passed[FBY_PASSED_HUGE] > 0)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %zu too large",
                                 passed[FBY_PASSED_HUGE]);
    if (passed[FBY_PASSED_UNREADABLE] > 0)
        used += (size_t)snprintf(text + used, sizeof text - used, ", %zu that cannot be read",
                                 passed[FBY_PASSED_UNREADABLE]);
    if (used > 0)
        fby_say("passed over: %s%s", text + 2, search->options->verbose ? "" : " (-v names them)");
}

static void say_done(const struct search *search, double seconds)
{
    const fby_update_stats *stats = &search->stats;
    if (search->options->verbose)
        fby_say("%zu files, %zu passages; read %zu files, embedded %zu passages in %.2f s; "
                "index: %s",
                search->walk.count, search->index.rows.count, stats->files_read, stats->embedded,
                seconds, search->path[0] != '\0' ? search->path : "in memory");
}

/* ---- questions ---- */

/* The file of the walk that an index's file is; it is there, for its rows were not hidden. */
static const fby_walk_file *walked_file(const struct search *search, const char *path)
{
    size_t low = 0, high = search->walk.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(fby_walk_path(&search->walk, &search->walk.files[middle]), path);
        if (order == 0)
            return &search->walk.files[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static fby_status show_hit(const struct search *search, fby_show *show, const char *query,
                           size_t size, uint32_t rank, fby_hit hit)
{
    const fby_index *index = &search->index;
    const fby_index_file *indexed = &index->files[fby_index_file_of(index, hit.row)];
    const char *path = index->paths + indexed->path;
    const fby_walk_file *file = walked_file(search, path);
    char shown[2 * PATH_MAX];

    if (file != NULL)
        fby_walk_shown(&search->walk, file, shown, sizeof shown);
    fby_shown answer = {.query = query,
                        .query_size = size,
                        .rank = rank,
                        .file = file != NULL ? shown : path,
                        .path = path,
                        .score = hit.score,
                        .passage = &index->passages[hit.row],
                        .content = indexed->content};
    return fby_show_answer(show, &answer);
}

static fby_status find(struct search *search, const char *query, size_t size, size_t *found)
{
    const struct options *options = search->options;
    fby_text text = {query, size};
    fby_status status = embed_with(search, &text, 1, options->query_prompt, search->vector);
    if (status != FBY_OK)
        return status;
    for (int attempt = 0;; attempt++) {
        status = fby_rank(&search->index.rows, search->vector, options->top, search->threads,
                          search->hits, found, NULL);
        if (status != FBY_EFORMAT || attempt > 0)
            return status;
        fby_say("the index is damaged: %s; it is made anew", fby_last_error());
        drop_index(search);
        status = update_index(search, true);
        if (status != FBY_OK)
            return status;
    }
}

/* Whether something was found goes to `*any`. */
static fby_status answer(struct search *search, fby_show *show, const char *query, size_t size,
                         bool *any)
{
    size_t found = 0;
    fby_status status = find(search, query, size, &found);

    for (size_t i = 0; i < found && status == FBY_OK; i++) {
        if (search->hits[i].score < search->options->min_score)
            break;
        status = show_hit(search, show, query, size, (uint32_t)i + 1, search->hits[i]);
        *any = true;
    }
    return status == FBY_OK ? fby_output_flush(show->output) : status;
}

static fby_status answer_lines(struct search *search, fby_show *show, bool *any)
{
    fby_lines *lines = NULL;
    fby_status status = fby_lines_open(NULL, 0, QUERY_BYTES, &lines);

    for (bool end = false, first = true; status == FBY_OK; first = false) {
        fby_line line;
        status = fby_lines_next(lines, &line, &end);
        if (status != FBY_OK || end)
            break;
        if (!first && !show->json)
            status = fby_output_write(show->output, "\n", 1);
        if (status == FBY_OK)
            status = fby_show_query(show, line.bytes, line.size);
        if (status == FBY_OK)
            status = answer(search, show, line.bytes, line.size, any);
        show->answers = 0;
    }
    fby_lines_close(lines);
    return status;
}

static bool wants_color(const struct options *options, const fby_output *output)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (options->color != COLOR_AUTO)
        return options->color == COLOR_ALWAYS;
    return output->terminal && (no_color == NULL || no_color[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static fby_status answer_all(struct search *search, const char *query, bool *any)
{
    fby_output output;
    fby_status status = fby_output_open(&output, NULL);
    if (status != FBY_OK)
        return status;
    fby_show show = {.output = &output,
                     .json = search->options->json,
                     .color = !search->options->json && wants_color(search->options, &output),
                     .context = (uint32_t)search->options->context};
    if (strcmp(query, "-") == 0)
        status = answer_lines(search, &show, any);
    else
        status = answer(search, &show, query, strlen(query), any);
    fby_show_end(&show);
    if (status == FBY_OK)
        return fby_output_commit(&output);
    if (!output.broken) /* whose message would be lost */
        (void)fby_output_flush(&output);
    fby_output_abandon(&output);
    return status;
}

static fby_status search_all(struct search *search, const char *query, bool *any)
{
    uint64_t started = fby_now_ns();
    fby_status status = open_model(search);
    if (status == FBY_OK)
        status = find_index_path(search);
    if (status == FBY_OK) {
        find_own(search);
        status = walk_roots(search);
    }
    if (status == FBY_OK)
        status = update_index(search, false);
    if (status != FBY_OK)
        return status;
    if (search->stats.written && search->options->index == NULL && search->path[0] != '\0')
        fby_index_tidy(search->path);
    say_passed_over(search);
    say_done(search, (double)(fby_now_ns() - started) * 1e-9);
    return answer_all(search, query, any);
}

static int finish(const struct search *search, fby_status status, bool any)
{
    if (status == FBY_OK)
        return any ? EXIT_FOUND : EXIT_NOT_FOUND;
    if (status != FBY_ECANCELED) {
        fby_say("%s", fby_last_error());
        return EXIT_TROUBLE;
    }
    if (search->stats.kept > 0 && search->path[0] != '\0')
        fby_say("stopped: %zu passages are embedded and kept, the next run goes on from there",
                search->stats.kept);
    else
        fby_say("stopped");
    return FBY_EXIT_INTERRUPTED;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {
        .top = 5, .max_file_size = 4 << 20, .passage_tokens = FBY_TARGET_TOKENS, .min_score = -2};
    struct search search = {.options = &options};
    int operands, code;
    bool any = false;

    if (!fby_cli_parse(self, argc, argv, &options, &operands, &code))
        return code;
    if (operands == 0) {
        fby_say("what to search for is missing; --help says more");
        return FBY_EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    search.roots = argv + 2;
    search.root_count = (size_t)operands - 1;
    fby_status status = fby_stop_listen();
    if (status == FBY_OK)
        status = search_all(&search, argv[1], &any);
    code = finish(&search, status, any);
    drop_index(&search);
    fby_walk_drop(&search.walk);
    free(search.hits);
    free(search.vector);
    fby_model_close(search.model);
    return code;
}

const fby_cli_command fby_command_search = {
    .name = "forebay search",
    .summary = "the passages of files that are nearest to a question",
    .operands = "QUERY [FILE|DIR...]",
    .options = options_table,
    .details = "Searches the working directory if no FILE or DIR is named. A QUERY of - reads\n"
               "one from each line of standard input. Passages are embedded once and kept in an\n"
               "index, of which only what has changed is made again. Names that begin with a\n"
               "dot, what .gitignore leaves out, binary and large files are passed over. Ends\n"
               "with 0 when something was found, 1 when nothing was, 2 when something broke.\n"
               "\n"
               "Examples:\n"
               "  forebay search 'how is memory given back' docs/\n"
               "  forebay search --top 3 --context 2 --glob '*.c,*.h' 'where a file is locked'\n"
               "  forebay search --json - notes/ < questions.txt\n",
    .run = run,
};
