/* SPDX-License-Identifier: Apache-2.0 */
#include "search/ignore.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "search/glob.h"
#include "search/grow.h"

struct rule {
    fby_glob *glob;
    bool negated;
    bool directory; /* matches directories only */
    bool whole;     /* matches the path from the base on; else its last name */
};

struct fby_ignore {
    const fby_ignore *outer;
    size_t base, count, room;
    struct rule *rules;
};

/* Drops spaces at the end, but for one behind a backslash. */
static size_t trimmed(const char *line, size_t size)
{
    while (size > 0 && line[size - 1] == ' ' && (size < 2 || line[size - 2] != '\\'))
        size--;
    return size;
}

/* False for a line that is no rule. */
static bool parse_rule(const char *line, size_t size, struct rule *rule)
{
    *rule = (struct rule){0};
    size = trimmed(line, size);
    if (size == 0 || line[0] == '#')
        return false;
    if (line[0] == '!') {
        rule->negated = true;
        line++;
        size--;
    }
    if (size > 0 && line[size - 1] == '/') {
        rule->directory = true;
        size--;
    }
    rule->whole = size > 0 && memchr(line, '/', size) != NULL;
    if (size > 0 && line[0] == '/') {
        line++;
        size--;
    }
    return size > 0 && fby_glob_compile(line, size, &rule->glob) == FBY_OK;
}

static bool add_rule(fby_ignore *ignore, struct rule rule)
{
    if (!fby_grow(&ignore->rules, &ignore->room, ignore->count + 1, sizeof rule))
        return false;
    ignore->rules[ignore->count++] = rule;
    return true;
}

static void free_one(fby_ignore *ignore)
{
    for (size_t i = 0; i < ignore->count; i++)
        fby_glob_free(ignore->rules[i].glob);
    free(ignore->rules);
    free(ignore);
}

fby_status fby_ignore_parse(const char *text, size_t size, size_t base, const fby_ignore *outer,
                            fby_ignore **out)
{
    fby_ignore *ignore = calloc(1, sizeof *ignore);
    if (ignore == NULL)
        return fby_error(FBY_ENOMEM, "no memory for .gitignore");
    ignore->outer = outer;
    ignore->base = base;

    for (const char *end = text + size; text < end;) {
        const char *lf = memchr(text, '\n', (size_t)(end - text));
        const char *stop = lf != NULL ? lf : end;
        size_t line = (size_t)(stop - text);
        struct rule rule;
        if (line > 0 && text[line - 1] == '\r')
            line--;
        if (parse_rule(text, line, &rule) && !add_rule(ignore, rule)) {
            fby_glob_free(rule.glob);
            free_one(ignore);
            return fby_error(FBY_ENOMEM, "no memory for .gitignore");
        }
        text = lf != NULL ? lf + 1 : end;
    }
    *out = ignore;
    return FBY_OK;
}

static size_t read_all(int fd, char *bytes, size_t room)
{
    size_t size = 0;
    while (size < room) {
        ssize_t got = read(fd, bytes + size, room - size);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    return size;
}

fby_status fby_ignore_read(int dir_fd, const char *name, size_t base, const fby_ignore *outer,
                           const fby_ignore **out)
{
    *out = outer;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return FBY_OK;
    fby_status status = FBY_OK;
    fby_ignore *ignore = NULL;
    char *text = malloc(FBY_IGNORE_BYTES);
    if (text == NULL)
        status = fby_error(FBY_ENOMEM, "no memory for .gitignore");
    else
        status = fby_ignore_parse(text, read_all(fd, text, FBY_IGNORE_BYTES), base, outer, &ignore);
    if (status == FBY_OK)
        *out = ignore;
    free(text);
    close(fd);
    return status;
}

void fby_ignore_free(const fby_ignore *ignore, const fby_ignore *outer)
{
    while (ignore != outer) {
        const fby_ignore *next = ignore->outer;
        free_one((fby_ignore *)(uintptr_t)ignore);
        ignore = next;
    }
}

static bool rule_matches(const struct rule *rule, const char *path, size_t size, bool directory)
{
    if (rule->directory && !directory)
        return false;
    if (!rule->whole) {
        const char *slash = memrchr(path, '/', size);
        if (slash != NULL) {
            size -= (size_t)(slash + 1 - path);
            path = slash + 1;
        }
    }
    return fby_glob_matches(rule->glob, path, size);
}

fby_ignore_word fby_ignore_match(const fby_ignore *ignore, const char *path, size_t size,
                                 bool directory)
{
    for (; ignore != NULL; ignore = ignore->outer)
        for (size_t i = ignore->count; i-- > 0;)
            if (rule_matches(&ignore->rules[i], path + ignore->base, size - ignore->base,
                             directory))
                return ignore->rules[i].negated ? FBY_IGNORE_NO : FBY_IGNORE_YES;
    return FBY_IGNORE_NONE;
}
