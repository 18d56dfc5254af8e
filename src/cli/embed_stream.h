/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts in, rows out, in order, in bounded memory: while two batches are being
 * computed the next is read and the last is written.
 *
 *     input --fill--> batch --submit--> model --retire--> rows
 *                       ^                 |
 *                       +--- three take turns
 *
 * A batch ends when it is full, at the end of the input, or when nothing is
 * being computed and the input has no more at hand: a pipe that trickles is
 * answered line by line.
 *
 * Threads: one; the model's own beside it.
 */
#ifndef FBY_CLI_EMBED_STREAM_H
#define FBY_CLI_EMBED_STREAM_H

#include "cli/input.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "forebay/embed.h"

typedef struct fby_stream_totals {
    uint64_t texts, tokens, truncated, replaced; /* of the rows written */
} fby_stream_totals;

/*
 * Runs until the input's end. FBY_ECANCELED after fby_stop_asked(): whole rows
 * have been written, the first of the input. Any other failure names file and
 * line where a text is to blame. `totals` is right in every case.
 */
fby_status fby_embed_stream(fby_model *model, const fby_embed_options *options, fby_input *input,
                            fby_rows *rows, fby_progress *progress, fby_stream_totals *totals);

#endif
