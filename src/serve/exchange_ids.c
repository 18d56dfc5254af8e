/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/exchange_parts.h"

#include <string.h>

#include "base/bits.h"
#include "serve/agent.h"

/* An upper bound of a text's ids: a token has at least one byte. */
uint32_t fby_exchange_ids_max(const fby_call *call, const fby_api_text *text)
{
    if (text->bytes == NULL)
        return fby_min_u32(text->id_count, call->limit);
    size_t special = fby_tokenizer_special_count(fby_encoder_tokenizer(call->served->encoder));
    size_t most = call->prompt_size + special;
    return text->size < call->limit && most < call->limit - text->size
               ? (uint32_t)(text->size + most)
               : call->limit;
}

uint64_t fby_exchange_ids_bound(const fby_call *call)
{
    uint64_t bound = 0;
    for (uint32_t i = 0; i < call->count; i++)
        bound += fby_exchange_ids_max(call, &call->texts[i]);
    return bound;
}

bool fby_exchange_is_small(const fby_call *call)
{
    uint64_t bytes = 0;
    if (call->limit >= FBY_SCRATCH_IDS)
        return false;
    for (uint32_t i = 0; i < call->count; i++)
        bytes += call->texts[i].size;
    return call->count <= FBY_SMALL_TEXTS && bytes <= FBY_SMALL_BYTES &&
           fby_exchange_ids_bound(call) <= FBY_SCRATCH_IDS - call->limit;
}

/* Ids that the client gave: cut as a text would be. */
static fby_status take_ids(const fby_call *call, const fby_api_text *text, uint32_t *ids,
                           fby_text_info *info)
{
    uint32_t count = fby_min_u32(text->id_count, call->limit);
    const uint32_t *from = text->ids + (call->left ? text->id_count - count : 0);
    memcpy(ids, from, count * sizeof *ids);
    *info = (fby_text_info){count, count < text->id_count, false};
    return info->truncated && !call->truncate ? FBY_ETOOLONG : FBY_OK;
}

/* At most fby_exchange_ids_max() ids. FBY_ETOOLONG, info->truncated set, where a text may not be
 * cut. */
fby_status fby_exchange_encode(const fby_call *call, const fby_api_text *text, uint32_t *ids,
                               fby_text_info *info)
{
    if (text->bytes == NULL)
        return take_ids(call, text, ids, info);
    const fby_encode_options options = {
        .limit = call->limit,
        .left = call->left,
        .no_special = text->no_special,
    };
    fby_encoding encoding;
    fby_tokenizer_encode(fby_encoder_tokenizer(call->served->encoder), call->prompt,
                         call->prompt_size, text->bytes, text->size, &options, ids, call->limit,
                         &encoding);
    *info = (fby_text_info){(uint32_t)encoding.count, encoding.truncated, encoding.replaced > 0};
    return encoding.truncated && !call->truncate ? FBY_ETOOLONG : FBY_OK;
}

fby_status fby_exchange_tokenize(fby_exchange *exchange, uint32_t i)
{
    return fby_exchange_encode(&exchange->call, &exchange->call.texts[i],
                               exchange->ids + exchange->offsets[i], &exchange->infos[i]);
}
