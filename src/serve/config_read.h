/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that read a config: one is being filled, source after source,
 * each going before the one that came first; faults are gathered, not returned,
 * so that all are named at once. One thread.
 */
#ifndef FBY_SERVE_CONFIG_READ_H
#define FBY_SERVE_CONFIG_READ_H

#include "serve/settings.h"

typedef enum fby_origin {
    FBY_FROM_DEFAULT = 0,
    FBY_FROM_FILE,
    FBY_FROM_TEI_VARIABLE,
    FBY_FROM_VARIABLE,
    FBY_FROM_FLAG
} fby_origin;

/* Where a value stands. */
typedef struct fby_place {
    fby_origin from;
    size_t line; /* FBY_FROM_FILE: counted from 1 */
} fby_place;

typedef struct fby_config_source {
    fby_config_inputs inputs;
    fby_place origins[FBY_SETTING_COUNT];
} fby_config_source;

typedef struct fby_config_reader {
    fby_serve_config *config; /* its `source` is there */
    fby_config_notes *notes;
} fby_config_reader;

enum {
    FBY_CONFIG_FILE_MAX = 512 << 10, /* bytes */
    FBY_CONFIG_LIST_MAX = 1024,      /* keys, models, names */
    FBY_CONFIG_NOTES_MAX = 64
};

/* A line of the notes that says where, and of which setting (NULL: of none). */
void fby_config_fault(fby_config_reader *reader, fby_place place, const fby_setting *setting,
                      const char *fmt, ...) FBY_PRINTF(4, 5);
void fby_config_warn(fby_config_reader *reader, fby_place place, const fby_setting *setting,
                     const char *fmt, ...) FBY_PRINTF(4, 5);

/* A value, or one more item of a list: "NAME=DIR" of the models, a secret of the keys. The first
 * item from a place of another origin replaces what the list had. */
void fby_config_set(fby_config_reader *reader, const fby_setting *setting, fby_place place,
                    const char *text);
/* A list that this origin says is empty begins. */
void fby_config_begin_list(fby_config_reader *reader, const fby_setting *setting, fby_place place);

/* The same, said in parts. What is not given is NULL or 0; copies are made. */
void fby_config_add_model(fby_config_reader *reader, fby_place place,
                          const fby_config_model *model);
void fby_config_add_key(fby_config_reader *reader, fby_place place, const fby_config_key *key);

/* A whole file of at most FBY_CONFIG_FILE_MAX bytes, to be freed. */
fby_status fby_config_read_file(const char *path, char **bytes, size_t *size);

/* What a file of settings says. */
void fby_config_read_yaml(fby_config_reader *reader, const char *bytes, size_t size);
/* What a file of keys says: config->api_key_file's. */
void fby_config_read_keys(fby_config_reader *reader, const char *bytes, size_t size);

/* Once every source has been read: names, keys and what no setting can say alone. FBY_EINVAL where
 * there are faults, the first as the message. */
fby_status fby_config_finish(fby_config_reader *reader);

void fby_config_model_clear(fby_config_model *model);
void fby_config_key_clear(fby_config_key *key);
bool fby_config_copy_model(const fby_config_model *from, fby_config_model *to);
/* Frees what a list setting holds. */
void fby_config_clear_list(fby_serve_config *config, const fby_setting *setting);

#endif
