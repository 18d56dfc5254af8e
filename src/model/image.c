/* SPDX-License-Identifier: Apache-2.0 */
#include "model/image.h"

#include <string.h>
#include <time.h>

#include "base/pages.h"
#include "model/cache.h"
#include "model/packed_file.h"

/* One opening. */
typedef struct opening {
    const fby_config *config;
    const fby_kernels *kernels;
    const fby_sample *sample;
    fby_packed_spec spec;
    fby_cache cache;

    /* The Transformer's checkpoint, then each Dense module's. */
    uint32_t count;
    fby_checkpoint *checkpoints[1 + FBY_MODULES_MAX];
    struct timespec found_at;

    char key[FBY_HEX_SIZE];
    bool has_key;
} opening;

static const fby_checkpoint *const *checkpoints(const opening *o)
{
    return (const fby_checkpoint *const *)o->checkpoints;
}

static fby_status find_checkpoint(opening *o, const char *dir, const fby_module *module)
{
    char path[FBY_PATH_SIZE];
    fby_status status = fby_path_join(path, dir, module->path);
    if (status == FBY_OK)
        status = fby_checkpoint_find(path, &o->checkpoints[o->count]);
    if (status == FBY_OK)
        o->count++;
    return status;
}

static fby_status find_checkpoints(opening *o, const char *dir)
{
    const fby_modules *modules = &o->config->modules;
    clock_gettime(CLOCK_REALTIME, &o->found_at);
    for (uint32_t i = 0; i < modules->count; i++) {
        const fby_module *module = &modules->list[i];
        if (module->kind != FBY_MODULE_TRANSFORMER && module->kind != FBY_MODULE_DENSE)
            continue;
        fby_status status = find_checkpoint(o, dir, module);
        if (status != FBY_OK)
            return status;
    }
    return FBY_OK;
}

static uint64_t weight_bytes(const opening *o)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < o->count; i++)
        for (uint32_t file = 0; file < fby_checkpoint_files(o->checkpoints[i]); file++)
            sum += (uint64_t)fby_checkpoint_stat(o->checkpoints[i], file)->st_size;
    return sum;
}

/* ---- from the weight files ---- */

static fby_status map_checkpoints(opening *o, fby_sources *sources)
{
    sources->sample = o->sample;
    const fby_modules *modules = &o->config->modules;
    uint32_t next = 0;
    for (uint32_t i = 0; i < o->count; i++) {
        fby_status status = fby_checkpoint_map(o->checkpoints[i]);
        if (status != FBY_OK)
            return status;
    }
    sources->transformer = o->checkpoints[next++];
    for (uint32_t i = 0; i < modules->count; i++)
        if (modules->list[i].kind == FBY_MODULE_DENSE)
            sources->dense[i] = o->checkpoints[next++];
    return FBY_OK;
}

/* Packs into `image->memory` and names it. */
static fby_status pack(const opening *o, const fby_sources *sources, fby_image *image)
{
    void *memory;
    size_t bytes = o->spec.image_bytes;
    fby_status status = fby_pages_map(bytes, &memory);
    if (status != FBY_OK)
        return fby_error_prefix(status, "packed weights");
    status = fby_weights_pack(o->config, o->kernels, sources, memory);
    if (status != FBY_OK) {
        fby_pages_unmap(memory, bytes);
        return status;
    }
    fby_fingerprint(o->spec.settings, fby_digest_of(memory, bytes), image->fingerprint);
    image->memory = memory;
    image->memory_bytes = bytes;
    image->bytes = memory;
    return FBY_OK;
}

static void drop_memory(fby_image *image)
{
    fby_pages_unmap(image->memory, image->memory_bytes);
    image->memory = NULL;
    image->bytes = NULL;
}

static fby_status map_packed(const opening *o, const char *fingerprint, fby_image *image)
{
    char name[FBY_PACKED_NAME_SIZE], path[FBY_PATH_SIZE];
    fby_packed_name(fingerprint, name);
    fby_status status = fby_path_join(path, o->cache.path, name);
    if (status == FBY_OK)
        status = fby_packed_map(o->cache.dir, fingerprint, &o->spec, &image->file);
    if (status != FBY_OK)
        return status;
    memcpy(image->path, path, sizeof path);
    if (fingerprint != image->fingerprint)
        memcpy(image->fingerprint, fingerprint, FBY_HEX_SIZE);
    image->bytes = fby_packed_image(&image->file);
    return FBY_OK;
}

/*
 * Puts what is in memory into the cache and goes over to the file, so that the
 * memory is shared; the two are never resident at once. On failure the image is
 * in neither place.
 */
static fby_status move_to_cache(const opening *o, fby_image *image)
{
    fby_status status = fby_packed_store(o->cache.dir, image->fingerprint, &o->spec, image->bytes);
    if (status != FBY_OK)
        return status;
    drop_memory(image);
    status = map_packed(o, image->fingerprint, image);
    if (status == FBY_OK && o->has_key && fby_cache_settled(checkpoints(o), o->count, &o->found_at))
        fby_cache_link(&o->cache, o->key, image->fingerprint);
    if (status == FBY_OK)
        fby_cache_tidy(&o->cache);
    return status;
}

static fby_status make(opening *o, fby_image *image)
{
    fby_sources sources = {0};
    fby_status status = map_checkpoints(o, &sources);
    if (status == FBY_OK)
        status = fby_weights_check(o->config, &sources);
    if (status == FBY_OK)
        status = pack(o, &sources, image);
    if (status != FBY_OK || o->cache.dir < 0)
        return status;
    /* A cache that does not work is no reason to fail: the weights then stay in memory. */
    if (move_to_cache(o, image) != FBY_OK && image->memory == NULL)
        status = pack(o, &sources, image);
    return status;
}

fby_status fby_image_open(const char *dir, const fby_config *config, const fby_kernels *kernels,
                          const fby_sample *sample, const char *settings, const char *cache_dir,
                          fby_image *out)
{
    char fingerprint[FBY_HEX_SIZE];
    fby_image image = {0};
    opening o = {.config = config,
                 .kernels = kernels,
                 .sample = sample,
                 .spec = {settings, fby_weights_bytes(config, kernels)}};
    fby_cache_open(cache_dir, &o.cache);
    fby_status status = find_checkpoints(&o, dir);
    if (status == FBY_OK) {
        image.weight_bytes = weight_bytes(&o);
        o.has_key = o.cache.dir >= 0 && fby_cache_key(checkpoints(&o), o.count, kernels, o.key);
        if (!o.has_key || !fby_cache_find(&o.cache, o.key, fingerprint) ||
            map_packed(&o, fingerprint, &image) != FBY_OK)
            status = make(&o, &image);
    }
    for (uint32_t i = 0; i < o.count; i++)
        fby_checkpoint_close(o.checkpoints[i]);
    fby_cache_close(&o.cache);
    if (status == FBY_OK)
        *out = image;
    return status;
}

void fby_image_close(fby_image *image)
{
    fby_pages_unmap(image->memory, image->memory_bytes);
    if (image->file.bytes != NULL)
        fby_file_unmap(&image->file);
    *image = (fby_image){0};
}
