/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights of one directory: model.safetensors, or the shards that
 * model.safetensors.index.json names.
 *
 *     find (names and sizes only) --> map --> tensor, tensor ... --> close
 *
 * A process whose packed weights are at hand stops after find.
 *
 * Threads: one at a time.
 */
#ifndef FBY_MODEL_CHECKPOINT_H
#define FBY_MODEL_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/status.h"
#include "model/safetensors.h"

typedef struct fby_checkpoint fby_checkpoint;

/* FBY_ENOENT, or FBY_EUNSUPPORTED if there are only weights in Python's pickle format. */
fby_status fby_checkpoint_find(const char *dir, fby_checkpoint **checkpoint);
void fby_checkpoint_close(fby_checkpoint *checkpoint);

/* The files that were found, and what the system knew about them then. */
uint32_t fby_checkpoint_files(const fby_checkpoint *checkpoint);
const char *fby_checkpoint_path(const fby_checkpoint *checkpoint, uint32_t file);
const struct stat *fby_checkpoint_stat(const fby_checkpoint *checkpoint, uint32_t file);

/* Maps and reads every file. */
fby_status fby_checkpoint_map(fby_checkpoint *checkpoint);

/* Whether there is a tensor of that name. */
bool fby_checkpoint_has(const fby_checkpoint *checkpoint, const char *name);

/* A tensor that can be read as f32, of exactly that shape. FBY_ENOENT or FBY_EFORMAT name it, and
 * both shapes. */
fby_status fby_checkpoint_tensor(const fby_checkpoint *checkpoint, const char *name, uint32_t rank,
                                 const uint64_t *shape, const fby_tensor **tensor);

/* Gives the tensor's resident pages back; they can still be read. */
void fby_checkpoint_release(const fby_tensor *tensor);

#endif
