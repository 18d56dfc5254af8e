/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packed model as a file, shared by every process that maps it.
 *
 *     page of header (settings, sizes, digests) | image
 *
 * The name is the fingerprint, which the content decides; so a file is whole,
 * and the one that is wanted, exactly if its content gives its name. Anything
 * else is not an error but a reason to make it anew.
 *
 *     fby_packed_store: FINGERPRINT.tmp (locked) --write, fsync, rename--> FINGERPRINT.pack
 *
 * Any number of processes may store and map at once: one writes, the others wait
 * for it. A file once under its name is never written again.
 */
#ifndef FBY_MODEL_PACKED_FILE_H
#define FBY_MODEL_PACKED_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/file.h"
#include "model/fingerprint.h"

#define FBY_PACKED_SUFFIX    ".pack"
#define FBY_PACKED_NAME_SIZE (FBY_HEX_SIZE + sizeof FBY_PACKED_SUFFIX)

void fby_packed_name(const char *fingerprint, char name[static FBY_PACKED_NAME_SIZE]);
/* The fingerprint in a name; false if it is not a name of a packed file. */
bool fby_packed_parse_name(const char *name, char fingerprint[static FBY_HEX_SIZE]);

/* What a packed file has to hold. */
typedef struct fby_packed_spec {
    const char *settings;
    size_t image_bytes;
} fby_packed_spec;

/* The image, page-aligned, within the mapping. */
const void *fby_packed_image(const fby_file *file);

/*
 * Maps the file of `fingerprint` in the directory `dir` and reads all of it
 * once, which checks it and makes every page resident. FBY_ENOENT if there is
 * none; FBY_EFORMAT if it is not what its name and `spec` say, or not this
 * user's alone to write.
 */
fby_status fby_packed_map(int dir, const char *fingerprint, const fby_packed_spec *spec,
                          fby_file *file);

/* Makes it, unless another process has by now. FBY_EIO leaves nothing behind; FBY_EAGAIN if
 * another process has been at it for too long. */
fby_status fby_packed_store(int dir, const char *fingerprint, const fby_packed_spec *spec,
                            const void *image);

#endif
