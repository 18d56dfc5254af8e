/* SPDX-License-Identifier: Apache-2.0 */
#include "search/build.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bits.h"
#include "search/grow.h"
#include "search/journal.h"
#include "search/known.h"
#include "search/read_file.h"

enum { BATCH_TEXTS = 64, BATCH_BYTES = 1 << 20, HEADING_TOKENS = 48 };

/* A vector's place: a row of the old index, or with this bit a record of the journal. */
#define IN_JOURNAL ((uint64_t)1 << 63)

/* Passages that are to be embedded at once. */
struct batch {
    size_t count, used, room;
    char *bytes;
    size_t begins[BATCH_TEXTS + 1];
    fby_hash hashes[BATCH_TEXTS];
};

struct fby_build {
    const fby_update_options *options;
    const fby_embedder *embedder;
    const fby_index_key *key;
    const fby_index *old;
    bool trusts;    /* the old index's files are cut as ours */
    bool knows_old; /* its passages are among the known */
    fby_journal journal;
    fby_known known;
    fby_passage_limits limits;
    fby_passages cut;   /* of the file at hand */
    fby_file_text text; /* the same */
    struct batch batch;
    float *vectors; /* (BATCH_TEXTS, dim) */
    fby_update_stats *stats;

    fby_index_file *files;
    size_t file_count, file_room;
    char *paths;
    size_t path_bytes, path_room;
    fby_index_passage *passages;
    uint64_t *places; /* of the same number */
    size_t passage_count, passage_room;
};

static fby_status no_memory(void)
{
    return fby_error(FBY_ENOMEM, "no memory for an index");
}

/* ---- the beginning and the end ---- */

static fby_status know_journal(fby_build *build)
{
    fby_status status = FBY_OK;
    for (size_t i = 0; i < build->journal.count && status == FBY_OK; i++) {
        fby_stored stored;
        fby_hash hash = fby_journal_at(&build->journal, i, &stored);
        status = fby_known_add(&build->known, hash, IN_JOURNAL | i);
    }
    return status;
}

static fby_passage_limits limits_of(const fby_update_options *options, const fby_embedder *embedder)
{
    uint32_t target = options->target_tokens != 0 ? options->target_tokens : FBY_TARGET_TOKENS;
    uint32_t most = embedder->max_tokens > 2 * HEADING_TOKENS
                        ? embedder->max_tokens - HEADING_TOKENS
                        : embedder->max_tokens;
    most = fby_min_u32(most != 0 ? most : 1, 1u << 20);
    target = fby_min_u32(target, most);
    return (fby_passage_limits){target, fby_min_u32(2 * target, most), embedder->count,
                                embedder->context};
}

fby_status fby_build_begin(const fby_update_options *options, const fby_embedder *embedder,
                           const fby_index_key *key, const fby_index *old, int journal_fd,
                           fby_build **out)
{
    fby_build *build = calloc(1, sizeof *build);
    if (build == NULL)
        return no_memory();
    build->options = options;
    build->embedder = embedder;
    build->key = key;
    build->old = old;
    build->trusts = !options->distrust && old->map != NULL && old->key.recipe == key->recipe;
    build->journal.fd = -1;
    build->limits = limits_of(options, embedder);
    build->vectors = malloc(BATCH_TEXTS * sizeof(float) * embedder->dim);
    fby_status status = build->vectors != NULL ? FBY_OK : no_memory();
    if (status == FBY_OK)
        status = fby_journal_open(journal_fd, "the index's journal", key, &build->journal);
    if (status == FBY_OK)
        status = know_journal(build);
    if (status != FBY_OK) {
        fby_build_end(build);
        return status;
    }
    *out = build;
    return FBY_OK;
}

void fby_build_end(fby_build *build)
{
    if (build == NULL)
        return;
    fby_journal_close(&build->journal);
    fby_known_drop(&build->known);
    fby_passages_drop(&build->cut);
    fby_file_text_drop(&build->text);
    free(build->batch.bytes);
    free(build->vectors);
    free(build->files);
    free(build->paths);
    free(build->passages);
    free(build->places);
    free(build);
}

/* ---- what is embedded ---- */

static fby_status embed_batch(fby_build *build)
{
    struct batch *batch = &build->batch;
    fby_text texts[BATCH_TEXTS];

    if (batch->count == 0)
        return FBY_OK;
    for (size_t i = 0; i < batch->count; i++)
        texts[i] =
            (fby_text){batch->bytes + batch->begins[i], batch->begins[i + 1] - batch->begins[i]};
    fby_status status =
        build->embedder->embed(build->embedder->context, texts, batch->count, build->vectors);
    if (status == FBY_OK)
        status = fby_journal_append(&build->journal, batch->hashes, build->vectors, batch->count);
    if (status != FBY_OK)
        return status;
    build->stats->embedded += batch->count;
    build->stats->kept = build->journal.count;
    batch->count = batch->used = 0;
    return FBY_OK;
}

static fby_status go_on(const fby_build *build)
{
    const fby_update_options *options = build->options;
    if (options->go_on != NULL && !options->go_on(options->context, build->stats))
        return fby_error(FBY_ECANCELED, "stopped");
    return FBY_OK;
}

/* What is embedded of a passage, behind what the batch holds: its heading, a line's end, itself. */
static bool put_text(fby_build *build, const fby_passage *passage)
{
    struct batch *batch = &build->batch;
    const char *text = build->text.bytes;
    size_t heading = passage->heading_end - passage->heading_begin;
    size_t size = passage->end - passage->begin;

    if (!fby_grow(&batch->bytes, &batch->room, batch->used + heading + 1 + size, 1))
        return false;
    char *at = batch->bytes + batch->used;
    if (heading > 0) {
        memcpy(at, text + passage->heading_begin, heading);
        at[heading++] = '\n';
    }
    memcpy(at + heading, text + passage->begin, size);
    batch->begins[batch->count] = batch->used;
    batch->begins[batch->count + 1] = batch->used + heading + size;
    return true;
}

static fby_status know_old(fby_build *build)
{
    const fby_index *old = build->old;
    fby_status status = FBY_OK;

    for (size_t i = 0; i < old->rows.count && !build->knows_old && status == FBY_OK; i++)
        if (fby_known_find(&build->known, old->passages[i].hash) == FBY_NOT_KNOWN)
            status = fby_known_add(&build->known, old->passages[i].hash, i);
    build->knows_old = true;
    return status;
}

static fby_stored old_row(const fby_build *build, size_t row)
{
    const fby_search_rows *rows = &build->old->rows;
    return (fby_stored){rows->rows + row, rows->codes + row * fby_code_stride(rows->dim),
                        rows->vectors + row * fby_vector_stride(rows->dim)};
}

/* The place of the passage's vector, known or to come; `*hash` names what is embedded of it. */
static fby_status place_of(fby_build *build, const fby_passage *passage, fby_hash *hash,
                           uint64_t *place)
{
    struct batch *batch = &build->batch;
    fby_status status = know_old(build);
    if (status != FBY_OK)
        return status;
    if (!put_text(build, passage))
        return no_memory();

    size_t begin = batch->begins[batch->count], end = batch->begins[batch->count + 1];
    *hash = fby_hash_of(batch->bytes + begin, end - begin);
    *place = fby_known_find(&build->known, *hash);
    if (*place != FBY_NOT_KNOWN && (*place & IN_JOURNAL) == 0) {
        fby_stored stored = old_row(build, (size_t)*place);
        if (!fby_stored_is_whole(&stored, build->key->dim))
            *place = FBY_NOT_KNOWN;
    }
    if (*place != FBY_NOT_KNOWN) {
        build->stats->reused++;
        return FBY_OK;
    }
    *place = IN_JOURNAL | (build->journal.count + batch->count);
    batch->hashes[batch->count++] = *hash;
    batch->used = end;
    status = fby_known_add(&build->known, *hash, *place);
    if (status == FBY_OK && (batch->count == BATCH_TEXTS || batch->used >= BATCH_BYTES)) {
        status = embed_batch(build);
        if (status == FBY_OK)
            status = go_on(build);
    }
    return status;
}

/* ---- the lists ---- */

static fby_status add_file(fby_build *build, const char *path, fby_index_file file)
{
    size_t size = strlen(path);
    if (!fby_grow(&build->files, &build->file_room, build->file_count + 1, sizeof *build->files) ||
        !fby_grow(&build->paths, &build->path_room, build->path_bytes + size + 1, 1))
        return no_memory();
    file.path = build->path_bytes;
    file.path_size = (uint32_t)size;
    file.first = build->passage_count;
    file.passages = 0;
    memcpy(build->paths + build->path_bytes, path, size + 1);
    build->path_bytes += size + 1;
    build->files[build->file_count++] = file;
    return FBY_OK;
}

static fby_status add_passage(fby_build *build, const fby_index_passage *passage, uint64_t place)
{
    size_t room = build->passage_room;
    if (!fby_grow(&build->passages, &room, build->passage_count + 1, sizeof *build->passages) ||
        !fby_grow(&build->places, &build->passage_room, build->passage_count + 1,
                  sizeof *build->places))
        return no_memory();
    build->passages[build->passage_count] = *passage;
    build->places[build->passage_count++] = place;
    build->files[build->file_count - 1].passages++;
    return FBY_OK;
}

/* The passages of a file of the old index go on as they are. */
static fby_status take_over(fby_build *build, const char *path, const fby_index_file *old,
                            fby_index_file file)
{
    file.kind = old->kind;
    fby_status status = add_file(build, path, file);
    for (uint64_t i = old->first; i < old->first + old->passages && status == FBY_OK; i++)
        status = add_passage(build, &build->old->passages[i], i);
    return status;
}

/* ---- a file ---- */

static fby_status cut_file(fby_build *build, const char *path)
{
    build->cut.count = 0;
    fby_status status = fby_passages_split(build->text.bytes, build->text.size, fby_is_code(path),
                                           &build->limits, &build->cut);
    for (size_t i = 0; i < build->cut.count && status == FBY_OK; i++) {
        const fby_passage *passage = &build->cut.list[i];
        fby_index_passage entry = {.begin = (uint32_t)passage->begin,
                                   .size = (uint32_t)(passage->end - passage->begin),
                                   .first_line = passage->first_line,
                                   .last_line = passage->last_line,
                                   .tokens = passage->tokens};
        uint64_t place = 0;
        status = place_of(build, passage, &entry.hash, &place);
        if (status == FBY_OK) {
            build->stats->tokens += passage->tokens;
            status = add_passage(build, &entry, place);
        }
    }
    return status;
}

/* A file whose mark does not vouch for it; `old`, unless NULL, is what was known of it. */
static fby_status take_changed(fby_build *build, const char *path, const fby_walk_file *found,
                               const fby_index_file *old)
{
    fby_index_file file = {.mark = found->mark};
    fby_status status = fby_file_text_read(&build->text, path);

    if (status == FBY_ENOENT) /* gone since the walk */
        return FBY_OK;
    if (status == FBY_ENOMEM)
        return status;
    build->stats->files_read++;
    build->stats->bytes_read += found->mark.size;
    if (status != FBY_OK) {
        file.kind = FBY_FILE_UNREADABLE;
        return add_file(build, path, file);
    }
    file.mark = build->text.mark;
    file.read_ns = build->text.read_ns;
    file.content = fby_hash_of(build->text.bytes, build->text.size);
    if (old != NULL && build->trusts && old->kind != FBY_FILE_UNREADABLE &&
        old->content.low == file.content.low && old->content.high == file.content.high)
        return take_over(build, path, old, file);
    if (fby_is_binary(build->text.bytes, build->text.size)) {
        file.kind = FBY_FILE_BINARY;
        return add_file(build, path, file);
    }
    status = add_file(build, path, file);
    return status == FBY_OK ? cut_file(build, path) : status;
}

/* Whether what the index says of a file still holds. */
static bool is_unchanged(const fby_index_file *file, const fby_walk_file *found, const char *path)
{
    int64_t changed =
        found->mark.mtime_ns > found->mark.ctime_ns ? found->mark.mtime_ns : found->mark.ctime_ns;
    if (!fby_file_mark_equal(&file->mark, &found->mark))
        return false;
    bool unreadable = file->kind == FBY_FILE_UNREADABLE;
    if (!unreadable && changed < file->read_ns - FBY_MARK_TICK_NS)
        return true;

    fby_file_text text = {0};
    bool same = fby_file_text_read(&text, path) == FBY_OK;
    if (unreadable) { /* its mark does not say whether that has passed */
        fby_file_text_drop(&text);
        return !same;
    }
    fby_hash content = same ? fby_hash_of(text.bytes, text.size) : (fby_hash){0};
    fby_file_text_drop(&text);
    return same && content.low == file->content.low && content.high == file->content.high;
}

/* The index's entry of `path`, or NULL; paths are asked for in ascending order. */
static const fby_index_file *next_entry(const fby_index *index, const char *path, size_t *at)
{
    int order = -1;
    while (*at < index->file_count &&
           (order = strcmp(index->paths + index->files[*at].path, path)) < 0)
        (*at)++;
    return *at < index->file_count && order == 0 ? &index->files[*at] : NULL;
}

bool fby_index_is_current(const fby_index *index, const fby_walk *walk)
{
    size_t at = 0, met = 0;
    for (size_t i = 0; i < walk->count; i++) {
        const fby_walk_file *found = &walk->files[i];
        const char *path = fby_walk_path(walk, found);
        const fby_index_file *file = next_entry(index, path, &at);
        met += file != NULL;
        if (found->seen && (file == NULL || !is_unchanged(file, found, path)))
            return false;
    }
    return met == index->file_count;
}

/* What happens to a file of the walk. */
static bool stays(const fby_build *build, const fby_walk_file *found, const char *path,
                  const fby_index_file *old)
{
    return old != NULL && build->trusts && (!found->seen || is_unchanged(old, found, path));
}

static void count_work(fby_build *build, const fby_walk *walk)
{
    size_t at = 0;
    for (size_t i = 0; i < walk->count; i++) {
        const char *path = fby_walk_path(walk, &walk->files[i]);
        const fby_index_file *old = next_entry(build->old, path, &at);
        if (walk->files[i].seen && !stays(build, &walk->files[i], path, old))
            build->stats->bytes_to_read += walk->files[i].mark.size;
    }
}

fby_status fby_build_files(fby_build *build, const fby_walk *walk, fby_update_stats *stats)
{
    fby_status status = FBY_OK;
    size_t at = 0;

    build->stats = stats;
    stats->kept = build->journal.count;
    count_work(build, walk);
    for (size_t i = 0; i < walk->count && status == FBY_OK; i++) {
        const fby_walk_file *found = &walk->files[i];
        const char *path = fby_walk_path(walk, found);
        const fby_index_file *old = next_entry(build->old, path, &at);
        if (stays(build, found, path, old))
            status = take_over(build, path, old, *old);
        else if (found->seen)
            status = take_changed(build, path, found, old);
        if (status == FBY_OK && i % 16 == 0)
            status = go_on(build);
    }
    if (status == FBY_OK)
        status = embed_batch(build);
    return status == FBY_OK ? fby_journal_map(&build->journal) : status;
}

static fby_status stored_at(void *context, size_t i, fby_stored *stored)
{
    const fby_build *build = context;
    uint64_t place = build->places[i];

    if ((place & IN_JOURNAL) != 0) {
        fby_journal_at(&build->journal, (size_t)(place & ~IN_JOURNAL), stored);
        return FBY_OK;
    }
    *stored = old_row(build, (size_t)place);
    if (!fby_stored_is_whole(stored, build->key->dim))
        return fby_error(FBY_EFORMAT, "the index's vector %llu is damaged",
                         (unsigned long long)place);
    return FBY_OK;
}

fby_status fby_build_write(fby_build *build, int fd, const char *name)
{
    fby_index_content content = {.files = build->files,
                                 .file_count = build->file_count,
                                 .paths = build->paths,
                                 .path_bytes = build->path_bytes,
                                 .passages = build->passages,
                                 .passage_count = build->passage_count,
                                 .stored_at = stored_at,
                                 .context = build};
    return fby_index_write(fd, name, build->key, &content);
}
