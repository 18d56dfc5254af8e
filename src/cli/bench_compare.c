/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two files of results, whatever bench wrote them, as JSON lines
 * or CSV.
 *
 * Rows are of one point when their words agree (strategy, kind, true and false; not
 * the processor's name), and stand in the same place among those of the file. What
 * their whole numbers agree in describes the point; what has quartiles, a fraction or
 * two values is compared.
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/pool_source.h"

enum { RESULTS_MAX = 64 << 20, COLUMNS_MAX = 256 };

struct options {
    double least_percent;
};

static const fby_cli_option options_table[] = {
    {.kind = FBY_CLI_REAL,
     .name = "least",
     .argument = "PERCENT",
     .help = "leave out what differs by less (0)",
     .max = 1000000,
     .offset = offsetof(struct options, least_percent)},
    {.kind = FBY_CLI_END},
};

/* ---- reading ---- */

/* A cell of CSV: a number, a truth, else a word. */
static json_t *cell_of(const char *text)
{
    char *end;
    if (text[0] == '\0')
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    double x = strtod(text, &end);
    if (*end != '\0' || !isfinite(x))
        return json_string(text);
    return strpbrk(text, ".eE") == NULL && fabs(x) < 0x1p53 ? json_integer((json_int_t)x)
                                                            : json_real(x);
}

/* Cuts a line of CSV in place; the number of cells. */
static size_t cut_cells(char *line, char *cells[COLUMNS_MAX])
{
    size_t count = 0;
    for (char *at = line; at != NULL && count < COLUMNS_MAX;) {
        char *to = at;
        bool quoted = *at == '"';
        cells[count++] = at;
        at += quoted;
        while (*at != '\0' && (quoted || *at != ',')) {
            if (quoted && *at == '"') {
                quoted = at[1] == '"';
                if (!quoted) {
                    at++;
                    continue;
                }
                at++;
            }
            *to++ = *at++;
        }
        bool more = *at == ',';
        *to = '\0';
        at = more ? at + 1 : NULL;
    }
    return count;
}

typedef struct heading {
    char *line; /* a copy, cut */
    char *keys[COLUMNS_MAX];
    size_t count;
} heading;

/* A heading comes again where the columns change: its cells are no numbers, and the first is
 * "bench". */
static json_t *csv_row(heading *columns, char *line)
{
    char *cells[COLUMNS_MAX];
    if (strncmp(line, "bench,", 6) == 0) {
        free(columns->line);
        columns->line = strdup(line);
        columns->count = columns->line != NULL ? cut_cells(columns->line, columns->keys) : 0;
        return NULL;
    }
    size_t count = cut_cells(line, cells);
    if (count != columns->count || count == 0)
        return NULL;
    json_t *row = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(row, columns->keys[i], cell_of(cells[i]));
    return row;
}

/* An array of objects. */
static fby_status read_results(const char *path, json_t **out)
{
    char *bytes, *line, *rest;
    size_t size;
    heading columns = {0};
    fby_status status = fby_pool_read_file(path, RESULTS_MAX, &bytes, &size);
    if (status != FBY_OK)
        return status;
    json_t *rows = json_array();
    for (rest = bytes; (line = strsep(&rest, "\n")) != NULL;) {
        line[strcspn(line, "\r")] = '\0';
        json_t *row = line[0] == '{' ? json_loads(line, 0, NULL) : csv_row(&columns, line);
        if (row != NULL)
            json_array_append_new(rows, row);
    }
    free(columns.line);
    free(bytes);
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return fby_error(FBY_EFORMAT, "%.200s: no results of a bench, as JSON lines or CSV", path);
    }
    *out = rows;
    return FBY_OK;
}

/* ---- matching ---- */

static bool is_machine(const char *key)
{
    return strcmp(key, "cpu") == 0 || strcmp(key, "isa") == 0;
}

/* Whether all that is said in words is the same, and the keys are. */
static bool same_words(json_t *a, json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach(a, key, value)
    {
        json_t *other = json_object_get(b, key);
        bool word = json_is_string(value) || json_is_boolean(value);
        if (other == NULL || (word && !is_machine(key) && json_equal(value, other) == 0))
            return false;
    }
    return json_object_size(a) == json_object_size(b);
}

/* The `turn`th row of `rows` with the words of `like`. */
static json_t *find_row(json_t *rows, json_t *like, size_t turn)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (same_words(like, json_array_get(rows, i)) && turn-- == 0)
            return json_array_get(rows, i);
    return NULL;
}

/* How many rows before `at` have the same words. */
static size_t turn_of(json_t *rows, size_t at)
{
    size_t turn = 0;
    for (size_t i = 0; i < at; i++)
        turn += same_words(json_array_get(rows, at), json_array_get(rows, i));
    return turn;
}

/* ---- saying ---- */

static bool is_quartile(const char *key)
{
    size_t size = strlen(key);
    return size > 3 && (strcmp(key + size - 3, "_q1") == 0 || strcmp(key + size - 3, "_q3") == 0);
}

static double quartile(json_t *row, const char *key, const char *which, double otherwise)
{
    char name[128];
    snprintf(name, sizeof name, "%s_%s", key, which);
    const json_t *value = json_object_get(row, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static bool is_measured(json_t *a, json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    return !is_quartile(key) && json_is_number(x) && json_is_number(y) &&
           (!json_is_integer(x) || !json_is_integer(y) ||
            json_integer_value(x) != json_integer_value(y) || !isnan(quartile(a, key, "q1", NAN)));
}

static void say_point(json_t *a, json_t *b)
{
    const char *key, *space = "";
    json_t *value;
    json_object_foreach(a, key, value)
    {
        if (is_machine(key) || is_quartile(key) || is_measured(a, b, key) || json_is_null(value))
            continue;
        if (json_is_string(value))
            printf("%s%s", space, json_string_value(value));
        else if (json_is_boolean(value))
            printf("%s%s=%s", space, key, json_is_true(value) ? "true" : "false");
        else if (json_is_integer(value))
            printf("%s%s=%lld", space, key, (long long)json_integer_value(value));
        space = ", ";
    }
    putchar('\n');
}

/* Quartiles that do not meet: a difference that noise does not explain. */
static bool stands_apart(json_t *a, json_t *b, const char *key, double x, double y)
{
    return quartile(a, key, "q1", x) > quartile(b, key, "q3", y) ||
           quartile(b, key, "q1", y) > quartile(a, key, "q3", x);
}

static void compare_rows(json_t *a, json_t *b, double least_percent)
{
    const char *key;
    json_t *value;
    bool said = false;
    json_object_foreach(a, key, value)
    {
        if (!is_measured(a, b, key))
            continue;
        double x = json_number_value(value), y = json_number_value(json_object_get(b, key));
        double percent = x != 0 ? 100 * (y / x - 1) : x == y ? 0 : INFINITY;
        if (fabs(percent) < least_percent)
            continue;
        if (!said)
            say_point(a, b);
        said = true;
        printf("  %-26s %14.6g %14.6g  %+9.2f %%  %s\n", key, x, y, percent,
               stands_apart(a, b, key, x, y) ? "apart" : "");
    }
}

static fby_status compare(const char *first, const char *second, double least_percent)
{
    json_t *a, *b;
    size_t unmatched = 0;
    fby_status status = read_results(first, &a);
    if (status != FBY_OK)
        return status;
    status = read_results(second, &b);
    if (status != FBY_OK) {
        json_decref(a);
        return status;
    }
    for (size_t i = 0; i < json_array_size(a); i++) {
        json_t *row = json_array_get(a, i), *other = find_row(b, row, turn_of(a, i));
        if (other != NULL)
            compare_rows(row, other, least_percent);
        else
            unmatched++;
    }
    size_t matched = json_array_size(a) - unmatched;
    printf("%zu points in both; %zu only in the first, %zu only in the second\n", matched,
           unmatched, json_array_size(b) - matched);
    json_decref(a);
    json_decref(b);
    return FBY_OK;
}

static int run(const fby_cli_command *self, int argc, char **argv)
{
    struct options options = {0};
    int exit_code;

    if (!fby_cli_parse_exactly(self, argc, argv, &options, 2, "two files of results are wanted",
                               &exit_code))
        return exit_code;
    return fby_cli_end(compare(argv[1], argv[2], options.least_percent));
}

const fby_cli_command fby_bench_compare = {
    .name = "forebay bench compare",
    .summary = "what differs between two files of results",
    .operands = "A B",
    .options = options_table,
    .details = "A and B are what a bench printed with --json or --csv. Each point that both\n"
               "have is named, then each of its measures: A's, B's, the change from A to B.\n"
               "\"apart\": the quartiles do not meet, or there are none and the values differ.\n"
               "\n"
               "Examples:\n"
               "  forebay bench heap --mixed --json > before.json\n"
               "  forebay bench compare before.json after.json --least 3\n",
    .run = run,
};
