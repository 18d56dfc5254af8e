/* SPDX-License-Identifier: Apache-2.0 */
#include "search/passages.h"

#include <stdlib.h>
#include <string.h>

#include "search/blocks.h"
#include "search/grow.h"
#include "search/sentences.h"

/* A tokenizer may call a million bytes without a blank one unknown token: so many bytes count as
 * one, whatever it says. */
enum { BYTES_A_TOKEN = 16 };

enum { HEADING_BYTES = 160 }; /* of a heading that is carried on */

/* A run of bytes on its way to be a passage. */
struct gathered {
    size_t begin, end;
    uint32_t cost;
    bool words; /* something but headings */
    size_t heading_begin, heading_end;
};

struct splitter {
    const char *text;
    const fby_passage_limits *limits;
    fby_passages *passages;
    uint32_t limit;                    /* cost of what is not split */
    struct gathered open;              /* begin == end: nothing */
    struct gathered tail;              /* the headings at its end, if that is what it ends with */
    unsigned level;                    /* of the heading that `open` stands under */
    size_t heading_begin, heading_end; /* the heading met last */
};

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static fby_status count_cost(const struct splitter *splitter, size_t begin, size_t end,
                             uint32_t *cost)
{
    uint32_t tokens = 0;
    fby_status status = splitter->limits->count(splitter->limits->context, splitter->text + begin,
                                                end - begin, &tokens);
    if (status != FBY_OK)
        return status;
    uint32_t bytes = (uint32_t)((end - begin) / BYTES_A_TOKEN);
    *cost = tokens > bytes ? tokens : bytes;
    return FBY_OK;
}

static fby_status add_passage(struct splitter *splitter, const struct gathered *gathered)
{
    fby_passages *passages = splitter->passages;
    const char *text = splitter->text;
    fby_passage passage = {.begin = gathered->begin,
                           .end = gathered->end,
                           .tokens = gathered->cost,
                           .heading_begin = gathered->heading_begin,
                           .heading_end = gathered->heading_end};

    while (passage.begin < passage.end && is_blank(text[passage.begin]))
        passage.begin++;
    while (passage.end > passage.begin && is_blank(text[passage.end - 1]))
        passage.end--;
    if (passage.begin == passage.end)
        return FBY_OK;
    if (!fby_grow(&passages->list, &passages->room, passages->count + 1, sizeof *passages->list))
        return fby_error(FBY_ENOMEM, "no memory for passages");
    passages->list[passages->count++] = passage;
    return FBY_OK;
}

/* What is open becomes a passage; headings at its end begin the next. */
static fby_status end_passage(struct splitter *splitter)
{
    struct gathered *open = &splitter->open, *tail = &splitter->tail;
    fby_status status = FBY_OK;

    if (tail->begin < tail->end && open->begin < tail->begin) {
        open->end = tail->begin;
        open->cost -= tail->cost < open->cost ? tail->cost : open->cost;
        status = add_passage(splitter, open);
        *open = *tail;
    } else {
        status = open->begin < open->end ? add_passage(splitter, open) : FBY_OK;
        *open = (struct gathered){0};
    }
    *tail = (struct gathered){0};
    return status;
}

/* ---- headings and what stands below them ---- */

static void extend(struct gathered *gathered, const fby_block *block, uint32_t cost)
{
    if (gathered->begin == gathered->end)
        *gathered = (struct gathered){.begin = block->begin};
    gathered->end = block->end;
    gathered->cost += cost;
}

/* A heading begins a passage, unless what is open is small and stands above it. */
static fby_status take_heading(struct splitter *splitter, const fby_block *block, uint32_t cost)
{
    struct gathered *open = &splitter->open;
    fby_status status = FBY_OK;
    bool below = block->level > splitter->level;

    uint32_t least = open->words ? splitter->limits->target / 2 : splitter->limits->target;
    if ((open->words && !below) || open->cost + cost > least)
        status = end_passage(splitter);
    if (open->begin == open->end || !below)
        splitter->level = block->level;
    extend(open, block, cost);
    extend(&splitter->tail, block, cost);
    splitter->heading_begin = block->heading_begin;
    splitter->heading_end = block->heading_end;
    return status;
}

static fby_status take_words(struct splitter *splitter, const fby_block *block, uint32_t cost)
{
    struct gathered *open = &splitter->open;
    fby_status status = FBY_OK;
    bool full = open->cost + cost > splitter->limits->target;
    bool opens = block->outermost && block->kind == FBY_BLOCK_CODE &&
                 open->cost >= splitter->limits->target / 2;

    if (open->words && (full || opens))
        status = end_passage(splitter);
    while (status == FBY_OK && open->begin < open->end && open->cost + cost > splitter->limits->max)
        status = end_passage(splitter);
    if (open->begin == open->end) {
        extend(open, block, cost);
        if (splitter->heading_end - splitter->heading_begin <= HEADING_BYTES) {
            open->heading_begin = splitter->heading_begin;
            open->heading_end = splitter->heading_end;
        }
    } else {
        extend(open, block, cost);
    }
    open->words = true;
    splitter->tail = (struct gathered){0};
    return status;
}

/* ---- blocks that are too long ---- */

static fby_status take_piece(struct splitter *splitter, fby_block *piece, size_t end,
                             uint32_t *cost)
{
    fby_status status = FBY_OK;
    piece->end = end;
    if (*cost > 0)
        status = take_words(splitter, piece, *cost);
    piece->begin = end;
    piece->outermost = false;
    *cost = 0;
    return status;
}

/* Parts [begin, end) into pieces of even cost, about the target each. */
static fby_status part(struct splitter *splitter, const fby_block *block, size_t begin, size_t end,
                       uint32_t whole, fby_cut cut)
{
    uint32_t target = splitter->limits->target;
    uint32_t goal = whole / (whole / target + (whole % target != 0));
    fby_block piece = *block;
    uint32_t gathered = 0;
    fby_status status = FBY_OK;

    piece.begin = begin;
    for (size_t at = begin, next; at < end && status == FBY_OK; at = next) {
        uint32_t cost = 0;
        next = fby_next_cut(splitter->text, at, end, cut);
        status = count_cost(splitter, at, next, &cost);
        if (status != FBY_OK)
            break;
        bool large = cost > splitter->limit && cut != FBY_CUT_BYTES;
        if (large ||
            (gathered > 0 && (2 * gathered + cost > 2 * goal || gathered + cost > splitter->limit)))
            status = take_piece(splitter, &piece, at, &gathered);
        if (large && status == FBY_OK) {
            status = part(splitter, block, at, next, cost, (fby_cut)(cut + 1));
            piece.begin = next;
        } else {
            gathered += cost;
        }
    }
    return status == FBY_OK ? take_piece(splitter, &piece, end, &gathered) : status;
}

static fby_status take_block(void *context, const fby_block *block)
{
    struct splitter *splitter = context;
    uint32_t cost = 0;
    fby_status status = count_cost(splitter, block->begin, block->end, &cost);

    if (status != FBY_OK)
        return status;
    cost = cost > 0 ? cost : 1;
    if (block->kind == FBY_BLOCK_HEADING && cost <= splitter->limit / 2)
        return take_heading(splitter, block, cost);
    if (cost <= splitter->limit)
        return take_words(splitter, block, cost);
    return part(splitter, block, block->begin, block->end, cost,
                block->kind == FBY_BLOCK_CODE ? FBY_CUT_LINE : FBY_CUT_SENTENCE);
}

/* Passages come in order, so one pass over the text numbers all their lines. */
static void number_lines(const char *text, fby_passage *list, size_t count)
{
    size_t at = 0;
    uint32_t line = 1;

    for (size_t i = 0; i < count; i++) {
        for (; at < list[i].begin; at++)
            line += text[at] == '\n';
        list[i].first_line = line;
        for (; at < list[i].end; at++)
            line += text[at] == '\n';
        list[i].last_line = line;
    }
}

fby_status fby_passages_split(const char *text, size_t size, bool code,
                              const fby_passage_limits *limits, fby_passages *passages)
{
    if (limits->target == 0 || limits->max < limits->target || limits->target > 1u << 20)
        return fby_error(FBY_EINVAL, "passages of %u to %u tokens", limits->target, limits->max);
    if (size > FBY_TEXT_MAX)
        return fby_error(FBY_ETOOLONG, "a text of %zu bytes", size);

    struct splitter splitter = {.text = text, .limits = limits, .passages = passages};
    uint32_t half_more = limits->target + limits->target / 2;
    splitter.limit = half_more < limits->max ? half_more : limits->max;

    size_t before = passages->count;
    fby_status status = fby_blocks_find(text, size, code, take_block, &splitter);
    if (status == FBY_OK)
        status = end_passage(&splitter);
    if (status == FBY_OK) /* headings at the very end */
        status = end_passage(&splitter);
    if (status != FBY_OK) {
        passages->count = before;
        return status;
    }
    if (passages->count > before)
        number_lines(text, passages->list + before, passages->count - before);
    return FBY_OK;
}

void fby_passages_drop(fby_passages *passages)
{
    free(passages->list);
    *passages = (fby_passages){0};
}
