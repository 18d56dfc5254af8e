/* SPDX-License-Identifier: Apache-2.0 */
#include "search/glob.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum kind {
    BYTE,       /* that byte */
    ANY,        /* one byte but '/' */
    CLASS,      /* one of a set */
    STAR,       /* stays on any byte but '/'; also passed without one */
    DIRS,       /* before DIRS_INSIDE: passed without a byte, or entered */
    DIRS_INSIDE /* stays on any byte; passed on '/' */
};

/* How a pattern is matched. */
enum manner { STEPS, PLAIN, SUFFIX };

struct step {
    enum kind kind;
    unsigned char byte;
    uint16_t class_at; /* of CLASS: which of the sets */
};

typedef struct byte_set {
    uint64_t bits[4];
} byte_set;

struct fby_glob {
    enum manner manner;
    size_t literal_size; /* PLAIN: the name; SUFFIX: what follows the star */
    char *literal;
    uint16_t count, class_count;
    byte_set *classes;
    struct step steps[];
};

struct source {
    const char *at, *end;
    bool failed;
};

/* ---- compiling ---- */

static void set_add(byte_set *set, unsigned byte)
{
    set->bits[byte / 64] |= (uint64_t)1 << (byte % 64);
}

static bool set_has(const byte_set *set, unsigned char byte)
{
    return (set->bits[byte / 64] >> (byte % 64) & 1) != 0;
}

static int is_blank(int c)
{
    return c == ' ' || c == '\t';
}

/* "[:alpha:]", the source standing behind "[:". False if it is no such class. */
static bool add_named(struct source *source, byte_set *set)
{
    static const struct {
        const char *name;
        int (*is)(int);
    } named[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", is_blank}, {"cntrl", iscntrl},
                 {"digit", isdigit}, {"graph", isgraph}, {"lower", islower},  {"print", isprint},
                 {"punct", ispunct}, {"space", isspace}, {"upper", isupper},  {"xdigit", isxdigit}};

    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        size_t size = strlen(named[i].name);
        if ((size_t)(source->end - source->at) < size + 2 ||
            memcmp(source->at, named[i].name, size) != 0 || memcmp(source->at + size, ":]", 2) != 0)
            continue;
        for (int c = 0; c < 128; c++)
            if (named[i].is(c) != 0)
                set_add(set, (unsigned)c);
        source->at += size + 2;
        return true;
    }
    return false;
}

static unsigned char take_escaped(struct source *source)
{
    if (*source->at == '\\' && ++source->at == source->end) {
        source->failed = true;
        return 0;
    }
    return (unsigned char)*source->at++;
}

/* What follows '[' up to its ']': the first ']' is a member. */
static byte_set take_class(struct source *source)
{
    byte_set set = {{0}};
    bool negated = source->at < source->end && (*source->at == '!' || *source->at == '^');
    bool first = true;

    source->at += negated;
    while (source->at < source->end && (*source->at != ']' || first) && !source->failed) {
        first = false;
        if (source->end - source->at > 2 && memcmp(source->at, "[:", 2) == 0) {
            source->at += 2;
            source->failed = !add_named(source, &set);
            continue;
        }
        unsigned from = take_escaped(source), to = from;
        if (source->end - source->at > 1 && *source->at == '-' && source->at[1] != ']') {
            source->at++;
            to = take_escaped(source);
        }
        for (unsigned byte = from; byte <= to; byte++)
            set_add(&set, byte);
    }
    source->failed = source->failed || source->at == source->end;
    source->at += !source->failed;
    for (int i = 0; i < 4 && negated; i++)
        set.bits[i] = ~set.bits[i];
    set.bits[0] &= ~((uint64_t)1 << '/');
    return set;
}

static void add_step(fby_glob *glob, enum kind kind, unsigned char byte)
{
    glob->steps[glob->count++] = (struct step){.kind = kind, .byte = byte};
}

/* Stars, the source standing on the first: two of them between slashes are directories. */
static void take_stars(struct source *source, const char *begin, fby_glob *glob)
{
    bool opens = source->at == begin || source->at[-1] == '/';
    size_t stars = 0;
    while (source->at < source->end && *source->at == '*') {
        source->at++;
        stars++;
    }
    bool slash = source->at < source->end && *source->at == '/';
    if (stars != 2 || !opens || (!slash && source->at < source->end)) {
        add_step(glob, STAR, 0);
    } else if (slash) {
        source->at++;
        add_step(glob, DIRS, 0);
        add_step(glob, DIRS_INSIDE, 0);
    } else { /* "**" at the end: something, in whatever directory */
        add_step(glob, DIRS, 0);
        add_step(glob, DIRS_INSIDE, 0);
        add_step(glob, ANY, 0);
        add_step(glob, STAR, 0);
    }
}

static void take(struct source *source, const char *begin, fby_glob *glob)
{
    unsigned char byte = (unsigned char)*source->at;

    if (byte == '*') {
        take_stars(source, begin, glob);
    } else if (byte == '?') {
        source->at++;
        add_step(glob, ANY, 0);
    } else if (byte == '[') {
        source->at++;
        glob->classes[glob->class_count] = take_class(source);
        add_step(glob, CLASS, 0);
        glob->steps[glob->count - 1].class_at = glob->class_count++;
    } else {
        byte = take_escaped(source);
        add_step(glob, BYTE, byte);
    }
}

/* Names and suffixes are most of what people write. */
static void choose_manner(fby_glob *glob)
{
    size_t star = glob->count > 0 && glob->steps[0].kind == STAR;
    for (size_t i = star; i < glob->count; i++) {
        if (glob->steps[i].kind != BYTE || (star != 0 && glob->steps[i].byte == '/'))
            return;
        glob->literal[i - star] = (char)glob->steps[i].byte;
    }
    glob->literal_size = glob->count - star;
    glob->manner = star != 0 ? SUFFIX : PLAIN;
}

fby_status fby_glob_compile(const char *pattern, size_t size, fby_glob **out)
{
    enum { STEPS_A_BYTE = 2 }; /* "**" becomes four */
    if (size * STEPS_A_BYTE > FBY_GLOB_STEPS)
        return fby_error(FBY_EINVAL, "a pattern of %zu bytes is too long", size);

    size_t classes = 0;
    for (size_t i = 0; i < size; i++)
        classes += pattern[i] == '[';
    size_t steps_bytes = sizeof(fby_glob) + size * STEPS_A_BYTE * sizeof(struct step);
    steps_bytes = (steps_bytes + 7) & ~(size_t)7;
    fby_glob *glob = calloc(1, steps_bytes + classes * sizeof(byte_set) + size + 1);
    if (glob == NULL)
        return fby_error(FBY_ENOMEM, "no memory for a pattern");
    glob->classes = (byte_set *)((char *)glob + steps_bytes);
    glob->literal = (char *)(glob->classes + classes);

    struct source source = {pattern, pattern + size, false};
    while (source.at < source.end && !source.failed)
        take(&source, pattern, glob);
    if (source.failed) {
        free(glob);
        return fby_error(FBY_EINVAL, "the pattern %.*s cannot match", (int)size, pattern);
    }
    fby_assert(glob->count <= size * STEPS_A_BYTE);
    choose_manner(glob);
    *out = glob;
    return FBY_OK;
}

void fby_glob_free(fby_glob *glob)
{
    free(glob);
}

/* ---- matching ---- */

typedef struct states {
    uint64_t bits[FBY_GLOB_STEPS / 64 + 1];
} states;

static bool states_have(const states *set, size_t step)
{
    return (set->bits[step / 64] >> (step % 64) & 1) != 0;
}

/* Step `step` is reached, and with it those that may be passed without a byte. */
static void reach(const fby_glob *glob, states *set, size_t step)
{
    while (!states_have(set, step)) {
        set->bits[step / 64] |= (uint64_t)1 << (step % 64);
        if (step == glob->count)
            return;
        if (glob->steps[step].kind == STAR) {
            step++;
        } else if (glob->steps[step].kind == DIRS) {
            set->bits[(step + 1) / 64] |= (uint64_t)1 << ((step + 1) % 64);
            step += 2;
        } else {
            return;
        }
    }
}

static void advance(const fby_glob *glob, size_t step, unsigned char byte, states *next)
{
    const struct step *at = &glob->steps[step];
    switch (at->kind) {
    case BYTE:
        if (at->byte == byte)
            reach(glob, next, step + 1);
        break;
    case ANY:
        if (byte != '/')
            reach(glob, next, step + 1);
        break;
    case CLASS:
        if (set_has(&glob->classes[at->class_at], byte))
            reach(glob, next, step + 1);
        break;
    case STAR:
        if (byte != '/')
            reach(glob, next, step);
        break;
    case DIRS:
        break;
    case DIRS_INSIDE:
        next->bits[step / 64] |= (uint64_t)1 << (step % 64);
        if (byte == '/')
            reach(glob, next, step + 1);
        break;
    }
}

static bool steps_match(const fby_glob *glob, const char *path, size_t size)
{
    size_t words = glob->count / 64u + 1;
    states now = {{0}};

    reach(glob, &now, 0);
    for (size_t i = 0; i < size; i++) {
        states next = {{0}};
        uint64_t any = 0;
        for (size_t word = 0; word < words; word++)
            for (uint64_t bits = now.bits[word]; bits != 0; bits &= bits - 1) {
                size_t step = word * 64 + (size_t)__builtin_ctzll(bits);
                if (step < glob->count)
                    advance(glob, step, (unsigned char)path[i], &next);
            }
        for (size_t word = 0; word < words; word++)
            any |= next.bits[word];
        if (any == 0)
            return false;
        now = next;
    }
    return states_have(&now, glob->count);
}

bool fby_glob_matches(const fby_glob *glob, const char *path, size_t size)
{
    size_t literal = glob->literal_size;
    switch (glob->manner) {
    case PLAIN:
        return size == literal && memcmp(path, glob->literal, size) == 0;
    case SUFFIX:
        return size >= literal && memcmp(path + size - literal, glob->literal, literal) == 0 &&
               memchr(path, '/', size - literal) == NULL;
    case STEPS:
        break;
    }
    return steps_match(glob, path, size);
}
