/* SPDX-License-Identifier: Apache-2.0 */
#include "search/blocks.h"

#include <string.h>

#include "base/bits.h"

/* A line without its end of line, and the same without blanks around it. */
struct line {
    size_t begin, end, next;
    size_t first, last; /* equal: it is blank */
};

struct layout {
    const char *text;
    size_t size;
    bool code;
    fby_take_block *take;
    void *context;
    fby_block block; /* begin == end: none is open */
    unsigned lines;  /* of the open block */
    struct line opening[2];
    char fence; /* the mark of an open fence; '\0': none */
    size_t fence_size;
};

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\f' || byte == '\v';
}

static struct line line_at(const struct layout *layout, size_t begin)
{
    const char *text = layout->text;
    const char *lf = memchr(text + begin, '\n', layout->size - begin);
    size_t end = lf != NULL ? (size_t)(lf - text) : layout->size;
    struct line line = {begin, end, lf != NULL ? end + 1 : end, begin, end};

    while (line.first < line.last && is_blank(text[line.first]))
        line.first++;
    while (line.last > line.first && is_blank(text[line.last - 1]))
        line.last--;
    line.end = line.last > line.begin ? line.last : line.begin;
    return line;
}

static size_t run_of(const char *text, size_t begin, size_t end)
{
    size_t at = begin;
    while (at < end && text[at] == text[begin])
        at++;
    return at - begin;
}

static fby_status close_block(struct layout *layout)
{
    fby_block block = layout->block;
    layout->block.end = layout->block.begin;
    layout->lines = 0;
    return block.begin < block.end ? layout->take(layout->context, &block) : FBY_OK;
}

static void add_line(struct layout *layout, const struct line *line, fby_block_kind kind)
{
    if (layout->lines == 0) {
        char byte = layout->text[line->first];
        layout->block = (fby_block){.begin = line->begin, .kind = kind};
        layout->block.outermost = line->first == line->begin && strchr("})]", byte) == NULL;
    }
    if (layout->lines < 2)
        layout->opening[layout->lines] = *line;
    layout->lines += layout->lines < 3;
    layout->block.end = line->end;
}

/* "## Words ##": CommonMark 0.31, section 4.2. The level, or 0. */
static unsigned hash_level(const struct layout *layout, const struct line *line)
{
    const char *text = layout->text;
    if (line->first - line->begin > 3 || text[line->first] != '#')
        return 0;
    size_t hashes = run_of(text, line->first, line->last);
    bool ends = line->first + hashes == line->last || is_blank(text[line->first + hashes]);
    return hashes <= 6 && ends ? (unsigned)hashes : 0;
}

static void hash_words(const struct layout *layout, const struct line *line, fby_block *block)
{
    const char *text = layout->text;
    size_t begin = line->first, end = line->last;
    while (begin < end && (text[begin] == '#' || is_blank(text[begin])))
        begin++;
    while (end > begin && (text[end - 1] == '#' || is_blank(text[end - 1])))
        end--;
    block->heading_begin = begin;
    block->heading_end = end;
}

/* Nothing but one mark, as under and over headings: its length, or 0. */
static size_t rule_size(const struct layout *layout, const struct line *line)
{
    static const char marks[] = "=-~^\"'`*+#<>_:.";
    size_t size = line->last - line->first;
    if (size < 3 || line->first != line->begin || strchr(marks, layout->text[line->first]) == NULL)
        return 0;
    return run_of(layout->text, line->first, line->last) == size ? size : 0;
}

static unsigned rule_level(char mark)
{
    static const char order[] = "=-~^\"";
    const char *found = strchr(order, mark);
    return found != NULL ? (unsigned)(found - order) + 1 : 6;
}

/* Whether `line` underlines what the open block holds: a line, or a line over which the same rule
 * stands. Markdown wants = or -, reStructuredText a rule as long as the title. */
static bool is_underline(const struct layout *layout, const struct line *line, struct line *title)
{
    size_t size = rule_size(layout, line);
    char mark = size > 0 ? layout->text[line->first] : '\0';
    bool over = layout->lines == 2 && rule_size(layout, &layout->opening[0]) > 0 &&
                layout->text[layout->opening[0].first] == mark;

    if (size == 0 || layout->block.kind != FBY_BLOCK_PROSE || (layout->lines != 1 && !over))
        return false;
    *title = layout->opening[over ? 1 : 0];
    if (rule_size(layout, title) > 0)
        return false;
    return (!over && (mark == '=' || mark == '-')) || size >= title->last - title->first;
}

static bool opens_fence(struct layout *layout, const struct line *line)
{
    char mark = layout->text[line->first];
    size_t size = run_of(layout->text, line->first, line->last);
    if ((mark != '`' && mark != '~') || size < 3)
        return false;
    layout->fence = mark;
    layout->fence_size = size;
    return true;
}

static bool closes_fence(const struct layout *layout, const struct line *line)
{
    size_t size = run_of(layout->text, line->first, line->last);
    return layout->text[line->first] == layout->fence && size >= layout->fence_size &&
           line->first + size == line->last;
}

static fby_status take_prose_line(struct layout *layout, const struct line *line)
{
    struct line title;
    fby_status status = FBY_OK;
    unsigned level = hash_level(layout, line);

    if (level != 0) {
        status = close_block(layout);
        add_line(layout, line, FBY_BLOCK_HEADING);
        layout->block.level = level;
        hash_words(layout, line, &layout->block);
        return status == FBY_OK ? close_block(layout) : status;
    }
    if (is_underline(layout, line, &title)) {
        add_line(layout, line, FBY_BLOCK_HEADING);
        layout->block.kind = FBY_BLOCK_HEADING;
        layout->block.level = rule_level(layout->text[line->first]);
        layout->block.heading_begin = title.first;
        layout->block.heading_end = title.last;
        return close_block(layout);
    }
    if (opens_fence(layout, line)) {
        status = close_block(layout);
        add_line(layout, line, FBY_BLOCK_CODE);
        return status;
    }
    add_line(layout, line, FBY_BLOCK_PROSE);
    return FBY_OK;
}

static fby_status take_line(struct layout *layout, const struct line *line)
{
    bool blank = line->first == line->last;

    if (layout->fence != '\0') {
        if (blank)
            return FBY_OK;
        bool closes = closes_fence(layout, line);
        add_line(layout, line, FBY_BLOCK_CODE);
        if (!closes)
            return FBY_OK;
        layout->fence = '\0';
        return close_block(layout);
    }
    if (blank)
        return close_block(layout);
    if (!layout->code)
        return take_prose_line(layout, line);
    add_line(layout, line, FBY_BLOCK_CODE);
    return FBY_OK;
}

fby_status fby_blocks_find(const char *text, size_t size, bool code, fby_take_block *take,
                           void *context)
{
    struct layout layout = {
        .text = text, .size = size, .code = code, .take = take, .context = context};
    fby_status status = FBY_OK;

    for (size_t at = 0; at < size && status == FBY_OK;) {
        struct line line = line_at(&layout, at);
        status = take_line(&layout, &line);
        at = line.next;
    }
    return status == FBY_OK ? close_block(&layout) : status;
}
