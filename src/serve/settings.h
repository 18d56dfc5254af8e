/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings.def, and one value of it: read from text, written as text. Any thread. */
#ifndef FBY_SERVE_SETTINGS_H
#define FBY_SERVE_SETTINGS_H

#include "serve/config.h"

typedef enum fby_setting_id {
#define SETTING(id, ...) FBY_SETTING_##id,
#include "serve/settings.def"
#undef SETTING
    FBY_SETTING_COUNT
} fby_setting_id;

typedef enum fby_setting_kind {
    FBY_SETTING_BOOL,   /* bool: yes or no */
    FBY_SETTING_EITHER, /* bool: the second of `choices`, or the first */
    FBY_SETTING_UINT,   /* uint64_t */
    FBY_SETTING_SIZE,   /* uint64_t: bytes, or with K, M, G (powers of 1,024) */
    FBY_SETTING_MS,     /* uint64_t: milliseconds, or with ms, s, m, h */
    FBY_SETTING_TEXT,   /* char *; NULL: none */
    FBY_SETTING_CHOICE, /* int: which of `choices` */
    FBY_SETTING_LIST,   /* char **, its uint32_t count right behind it */
    FBY_SETTING_MODELS, /* config->models */
    FBY_SETTING_KEYS    /* config->keys */
} fby_setting_kind;

typedef struct fby_setting {
    const char *name;     /* "max-queued-tokens": the flag; in keys and variables '_' for '-' */
    const char *argument; /* "N" */
    const char *help;
    const char *choices; /* "auto|text|json" */
    const char *tei;     /* the variable's name in text-embeddings-inference; NULL: it has none */
    size_t offset;       /* in fby_serve_config */
    uint64_t min, max;   /* max 0: no limit */
    fby_setting_kind kind;
    bool live; /* SIGHUP changes it */
} fby_setting;

extern const fby_setting fby_settings[FBY_SETTING_COUNT];

/* Whether a setting holds several values. */
bool fby_setting_is_list(const fby_setting *setting);

/* "max_queued_tokens" and "FBY_MAX_QUEUED_TOKENS". */
enum { FBY_SETTING_NAME = 64 };
const char *fby_setting_key(const fby_setting *setting, char out[FBY_SETTING_NAME]);
const char *fby_setting_variable(const fby_setting *setting, char out[FBY_SETTING_NAME]);

/* The setting of a key of `size` bytes; a list may be named in the plural. NULL: none. */
const fby_setting *fby_setting_find_key(const char *key, size_t size);

/* The key that was probably meant; NULL. */
const fby_setting *fby_setting_near(const char *key);

/*
 * Stores a value that is no list. False, `expected` filled and nothing changed, where `text` is
 * none: "a whole number from 0 to 65535". The text's memory is the config's (strdup); out of
 * memory is said the same way.
 */
enum { FBY_EXPECTED_SIZE = 128 };
bool fby_setting_store(const fby_setting *setting, const char *text, fby_serve_config *config,
                       char expected[FBY_EXPECTED_SIZE]);

/* Which of "a|b|c" `word` is; -1: none. */
int fby_choice_of(const char *choices, const char *word);

/* A value that is no list as the file would have it; null for a text that is not set. */
void fby_setting_print(const fby_setting *setting, const fby_serve_config *config, FILE *out);

/* In double quotes, as JSON and YAML read it. */
void fby_setting_quote(const char *text, FILE *out);

#endif
