/* SPDX-License-Identifier: Apache-2.0 */
#include "model/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "model/file.h"
#include "model/json.h"

enum { SHARDS_MAX = 256 };

typedef struct shard {
    const char *name; /* in the directory */
    char *path;
    struct stat info;
    fby_file file;
    fby_safetensors *tensors; /* NULL before fby_checkpoint_map() */
} shard;

struct fby_checkpoint {
    json_t *index;            /* the index file; NULL for a single file */
    const json_t *weight_map; /* tensor name to shard name, in `index` */
    char index_path[FBY_PATH_SIZE];
    uint32_t count;
    shard shards[SHARDS_MAX];
};

static fby_status add_shard(fby_checkpoint *checkpoint, const char *dir, const char *name)
{
    char path[FBY_PATH_SIZE];
    shard *added = &checkpoint->shards[checkpoint->count];
    fby_status status = fby_path_join(path, dir, name);
    if (status != FBY_OK)
        return status;
    if (stat(path, &added->info) != 0)
        return fby_error_errno(errno == ENOENT || errno == ENOTDIR ? FBY_ENOENT : FBY_EIO, errno,
                               "%s", path);
    added->path = strdup(path);
    if (added->path == NULL)
        return fby_error(FBY_ENOMEM, "%s: no memory for its name", path);
    added->name = name;
    checkpoint->count++;
    return FBY_OK;
}

/* ---- the index of shards ---- */

static shard *find_shard(fby_checkpoint *checkpoint, const char *name)
{
    for (uint32_t i = 0; i < checkpoint->count; i++)
        if (strcmp(checkpoint->shards[i].name, name) == 0)
            return &checkpoint->shards[i];
    return NULL;
}

/* A file of the directory itself. */
static bool is_plain_name(const char *name)
{
    size_t size = strlen(name);
    return size > 12 && strcmp(name + size - 12, ".safetensors") == 0 &&
           strchr(name, '/') == NULL && size <= 255;
}

static fby_status add_shards(fby_checkpoint *checkpoint, const char *dir)
{
    char quoted[FBY_QUOTE_SIZE];
    const char *tensor;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)checkpoint->weight_map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (name == NULL || !is_plain_name(name))
            return fby_error(FBY_EFORMAT,
                             "%s: tensor '%s': expected the name of a .safetensors file",
                             checkpoint->index_path, fby_quote(quoted, tensor));
        if (find_shard(checkpoint, name) != NULL)
            continue;
        if (checkpoint->count == SHARDS_MAX)
            return fby_error(FBY_EUNSUPPORTED, "%s: more than %d files", checkpoint->index_path,
                             SHARDS_MAX);
        fby_status status = add_shard(checkpoint, dir, name);
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

static fby_status find_sharded(fby_checkpoint *checkpoint, const char *dir)
{
    fby_status status = fby_path_join(checkpoint->index_path, dir, "model.safetensors.index.json");
    if (status == FBY_OK)
        status = fby_json_load(checkpoint->index_path, 0, &checkpoint->index);
    if (status != FBY_OK)
        return status;
    checkpoint->weight_map = json_object_get(checkpoint->index, "weight_map");
    if (!json_is_object(checkpoint->weight_map))
        return fby_error(FBY_EFORMAT, "%s: weight_map is missing or not an object",
                         checkpoint->index_path);
    return add_shards(checkpoint, dir);
}

/* ---- life ---- */

/* Neither file is there: says what is. */
static fby_status none_found(const char *dir)
{
    char path[FBY_PATH_SIZE];
    fby_status status = fby_path_join(path, dir, "pytorch_model.bin");
    if (status != FBY_OK)
        return status;
    if (access(path, F_OK) == 0)
        return fby_error(FBY_EUNSUPPORTED, "%s: pickled weights; convert them to model.safetensors",
                         path);
    return fby_error(FBY_ENOENT, "%s: no model.safetensors and no model.safetensors.index.json",
                     dir);
}

fby_status fby_checkpoint_find(const char *dir, fby_checkpoint **out)
{
    fby_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL)
        return fby_error(FBY_ENOMEM, "%s: no memory to look at it", dir);
    fby_status status = add_shard(checkpoint, dir, "model.safetensors");
    if (status == FBY_ENOENT) {
        status = find_sharded(checkpoint, dir);
        if (status == FBY_ENOENT && checkpoint->index == NULL)
            status = none_found(dir);
    }
    if (status == FBY_OK)
        *out = checkpoint;
    else
        fby_checkpoint_close(checkpoint);
    return status;
}

void fby_checkpoint_close(fby_checkpoint *checkpoint)
{
    if (checkpoint == NULL)
        return;
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        fby_safetensors_close(checkpoint->shards[i].tensors);
        fby_file_unmap(&checkpoint->shards[i].file);
        free(checkpoint->shards[i].path);
    }
    json_decref(checkpoint->index);
    free(checkpoint);
}

uint32_t fby_checkpoint_files(const fby_checkpoint *checkpoint)
{
    return checkpoint->count;
}

const char *fby_checkpoint_path(const fby_checkpoint *checkpoint, uint32_t file)
{
    return checkpoint->shards[file].path;
}

const struct stat *fby_checkpoint_stat(const fby_checkpoint *checkpoint, uint32_t file)
{
    return &checkpoint->shards[file].info;
}

fby_status fby_checkpoint_map(fby_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        shard *s = &checkpoint->shards[i];
        fby_status status = fby_file_map(s->path, &s->file);
        if (status == FBY_OK)
            status = fby_safetensors_open(s->path, s->file.bytes, s->file.size, &s->tensors);
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

/* ---- tensors ---- */

/* The shard that should hold `name`; NULL if none does. */
static const shard *shard_of(const fby_checkpoint *checkpoint, const char *name)
{
    if (checkpoint->weight_map == NULL)
        return &checkpoint->shards[0];
    const char *file = json_string_value(json_object_get(checkpoint->weight_map, name));
    for (uint32_t i = 0; file != NULL && i < checkpoint->count; i++)
        if (strcmp(checkpoint->shards[i].name, file) == 0)
            return &checkpoint->shards[i];
    return NULL;
}

bool fby_checkpoint_has(const fby_checkpoint *checkpoint, const char *name)
{
    const shard *s = shard_of(checkpoint, name);
    return s != NULL && fby_safetensors_find(s->tensors, name) != NULL;
}

static bool same_shape(const fby_tensor *tensor, uint32_t rank, const uint64_t *shape)
{
    return tensor->rank == rank && memcmp(tensor->shape, shape, rank * sizeof *shape) == 0;
}

fby_status fby_checkpoint_tensor(const fby_checkpoint *checkpoint, const char *name, uint32_t rank,
                                 const uint64_t *shape, const fby_tensor **out)
{
    const shard *s = shard_of(checkpoint, name);
    if (s == NULL)
        return fby_error(FBY_ENOENT, "%s: tensor '%s' is missing", checkpoint->index_path, name);
    const fby_tensor *tensor = fby_safetensors_find(s->tensors, name);
    if (tensor == NULL)
        return fby_error(FBY_ENOENT, "%s: tensor '%s' is missing", s->path, name);
    if (!same_shape(tensor, rank, shape)) {
        char found[FBY_SHAPE_TEXT_SIZE], expected[FBY_SHAPE_TEXT_SIZE];
        return fby_error(FBY_EFORMAT, "%s: tensor '%s' has shape %s, the configuration asks for %s",
                         s->path, name, fby_shape_text(found, tensor->rank, tensor->shape),
                         fby_shape_text(expected, rank, shape));
    }
    if (tensor->dtype == FBY_DTYPE_OTHER)
        return fby_error(FBY_EUNSUPPORTED, "%s: tensor '%s' is %s; F32, F16 and BF16 are supported",
                         s->path, name, tensor->dtype_name);
    *out = tensor;
    return FBY_OK;
}

void fby_checkpoint_release(const fby_tensor *tensor)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)tensor->data / page * page;
    uintptr_t end = (uintptr_t)tensor->data + tensor->size;
    /* What it shares a page with is read again from the file. */
    if (tensor->size > 0)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
