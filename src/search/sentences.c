/* SPDX-License-Identifier: Apache-2.0 */
#include "search/sentences.h"

#include <stdbool.h>
#include <string.h>

#include "search/utf8.h"

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end && is_blank(text[at]))
        at++;
    return at;
}

/* Whether the full stop at `at` belongs to a short form: one letter, or a word that is known. */
static bool is_short_form(const char *text, size_t begin, size_t at)
{
    static const char *const known[] = {"al",  "cf", "Dr", "eq", "etc",  "Fig", "fig", "Mr",
                                        "Mrs", "Ms", "No", "pp", "Prof", "St",  "vs"};
    size_t first = at;
    while (first > begin && is_letter(text[first - 1]))
        first--;
    size_t size = at - first;
    if (size == 1)
        return true;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i]) == size && memcmp(known[i], text + first, size) == 0)
            return true;
    return false;
}

/* Bytes of a mark that ends a sentence by itself, as in Chinese and Japanese; 0 if there is none.
 */
static size_t wide_stop(const char *text, size_t at, size_t end)
{
    static const char *const stops[] = {"\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f"};
    for (size_t i = 0; i < 3; i++)
        if (end - at >= 3 && memcmp(text + at, stops[i], 3) == 0)
            return 3;
    return 0;
}

/* Whether the line at `at` begins with a bullet or a number. */
static bool is_item(const char *text, size_t at, size_t end)
{
    while (at < end && (text[at] == ' ' || text[at] == '\t'))
        at++;
    if (end - at < 2)
        return false;
    if (strchr("-*+", text[at]) != NULL)
        return is_blank(text[at + 1]);
    size_t digits = at;
    while (digits < end && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return digits > at && end - digits >= 2 && (text[digits] == '.' || text[digits] == ')') &&
           is_blank(text[digits + 1]);
}

static size_t sentence_end(const char *text, size_t begin, size_t end)
{
    for (size_t at = begin; at < end; at++) {
        size_t wide = wide_stop(text, at, end);
        if (wide != 0)
            return skip_blanks(text, at + wide, end);
        if (text[at] == '\n' && is_item(text, at + 1, end))
            return at + 1;
        if (strchr(".!?", text[at]) == NULL || text[at] == '\0')
            continue;
        size_t after = at + 1;
        while (after < end && text[after] != '\0' && strchr(".!?)]}\"'*_`", text[after]) != NULL)
            after++;
        size_t next = skip_blanks(text, after, end);
        bool lower = next < end && text[next] >= 'a' && text[next] <= 'z';
        if (next == end ||
            (next > after && !lower && (text[at] != '.' || !is_short_form(text, begin, at))))
            return next;
        at = after - 1;
    }
    return end;
}

static size_t word_end(const char *text, size_t at, size_t end)
{
    at = skip_blanks(text, at, end);
    while (at < end && !is_blank(text[at]))
        at++;
    return skip_blanks(text, at, end);
}

static size_t bytes_end(const char *text, size_t at, size_t end)
{
    enum { BYTES = 64 };
    size_t begin = at;
    while (at < end && at - begin < BYTES) {
        size_t size = fby_utf8_size(text + at, end - at);
        at += size != 0 ? size : 1;
    }
    return at;
}

size_t fby_next_cut(const char *text, size_t at, size_t end, fby_cut cut)
{
    switch (cut) {
    case FBY_CUT_SENTENCE:
        return sentence_end(text, at, end);
    case FBY_CUT_LINE: {
        const char *lf = memchr(text + at, '\n', end - at);
        return lf != NULL ? (size_t)(lf - text) + 1 : end;
    }
    case FBY_CUT_WORD:
        return word_end(text, at, end);
    case FBY_CUT_BYTES:
        break;
    }
    return bytes_end(text, at, end);
}
