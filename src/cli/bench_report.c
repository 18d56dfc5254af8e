/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/bench_report.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/cpu.h"

static fby_report_cell *add_cell(fby_report *report, const char *key)
{
    fby_assert(report->count < FBY_REPORT_CELLS);
    fby_report_cell *cell = &report->cells[report->count++];
    *cell = (fby_report_cell){.key = key};
    return cell;
}

/* Five digits are more than any timing here deserves; a whole number keeps all of its own. */
static void format_real(char *text, size_t size, double x)
{
    if (!isfinite(x))
        snprintf(text, size, "null");
    else if (fabs(x) >= 1e5 && fabs(x) < 1e15)
        snprintf(text, size, "%.0f", x);
    else
        snprintf(text, size, "%.5g", x);
}

void fby_report_text(fby_report *report, const char *key, const char *text)
{
    fby_report_cell *cell = add_cell(report, key);
    snprintf(cell->text, sizeof cell->text, "%s", text);
    cell->quoted = true;
}

void fby_report_uint(fby_report *report, const char *key, uint64_t x)
{
    fby_report_cell *cell = add_cell(report, key);
    snprintf(cell->text, sizeof cell->text, "%llu", (unsigned long long)x);
}

void fby_report_bool(fby_report *report, const char *key, bool x)
{
    fby_report_cell *cell = add_cell(report, key);
    snprintf(cell->text, sizeof cell->text, "%s", x ? "true" : "false");
}

void fby_report_real(fby_report *report, const char *key, double x)
{
    fby_report_cell *cell = add_cell(report, key);
    format_real(cell->text, sizeof cell->text, x);
}

void fby_report_spread(fby_report *report, const char *key, const char *q1_key, const char *q3_key,
                       fby_spread spread)
{
    size_t first = report->count;
    fby_report_real(report, key, spread.median);
    fby_report_real(report, q1_key, spread.q1);
    fby_report_real(report, q3_key, spread.q3);

    fby_report_cell *cells = &report->cells[first];
    if (isfinite(spread.q1) && isfinite(spread.q3))
        snprintf(cells[0].spread, sizeof cells[0].spread, " %.14s..%.14s", cells[1].text,
                 cells[2].text);
    cells[1].hidden = cells[2].hidden = true;
}

/* Keys and words are ours or the processor's name: plain ASCII but for the odd quote. */
static void put_quoted(FILE *out, const char *text, bool json)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc(json ? '\\' : '"', out);
        if (*text == '\\' && json)
            fputc('\\', out);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
    fputc('"', out);
}

static void put_json(const fby_report *report)
{
    fputc('{', report->out);
    for (size_t i = 0; i < report->count; i++) {
        const fby_report_cell *cell = &report->cells[i];
        fprintf(report->out, "%s\"%s\":", i > 0 ? "," : "", cell->key);
        if (cell->quoted)
            put_quoted(report->out, cell->text, true);
        else
            fputs(cell->text, report->out);
    }
    fputs("}\n", report->out);
}

static bool same_keys(const fby_report *report)
{
    if (report->shown != report->count)
        return false;
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->shown_keys[i], report->cells[i].key) != 0)
            return false;
    return true;
}

static void put_csv(const fby_report *report, bool heading)
{
    for (size_t i = 0; heading && i < report->count; i++)
        fprintf(report->out, "%s%s", i > 0 ? "," : "", report->cells[i].key);
    if (heading)
        fputc('\n', report->out);
    for (size_t i = 0; i < report->count; i++) {
        const fby_report_cell *cell = &report->cells[i];
        if (i > 0)
            fputc(',', report->out);
        if (cell->quoted)
            put_quoted(report->out, cell->text, false);
        else
            fputs(strcmp(cell->text, "null") != 0 ? cell->text : "", report->out);
    }
    fputc('\n', report->out);
}

static int cell_width(const fby_report_cell *cell)
{
    return (int)(strlen(cell->text) + strlen(cell->spread));
}

/* Columns are as wide as the heading and the first row ask, with room for a number to grow. */
static void put_heading(fby_report *report)
{
    if (report->shown > 0)
        fputc('\n', report->out);
    for (size_t i = 0; i < report->count; i++) {
        const fby_report_cell *cell = &report->cells[i];
        int key = (int)strlen(cell->key), width = cell_width(cell) + (cell->quoted ? 4 : 1);
        report->widths[i] = key > width ? key : width;
        if (!cell->hidden)
            fprintf(report->out, "%s%*s", i > 0 ? "  " : "",
                    cell->quoted ? -report->widths[i] : report->widths[i], cell->key);
    }
    fputc('\n', report->out);
}

static void put_line(const fby_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const fby_report_cell *cell = &report->cells[i];
        char text[FBY_REPORT_CELL_SIZE + sizeof cell->spread];
        snprintf(text, sizeof text, "%s%s", cell->text, cell->spread);
        if (!cell->hidden)
            fprintf(report->out, "%s%*s", i > 0 ? "  " : "",
                    cell->quoted ? -report->widths[i] : report->widths[i], text);
    }
    fputc('\n', report->out);
}

static void begin_row(fby_report *report)
{
    report->count = 0;
    if (report->format == FBY_REPORT_TABLE)
        return;
    fby_report_text(report, "bench", report->bench);
    fby_report_text(report, "cpu", fby_cpu_model());
    fby_report_text(report, "isa", report->isa);
}

void fby_report_begin(fby_report *report, FILE *out, fby_report_format format, const char *bench,
                      const char *isa)
{
    fby_isa widest = FBY_ISA_C;
    if (isa == NULL && fby_isa_select(&widest) == FBY_OK)
        isa = fby_isa_name(widest);

    *report = (fby_report){
        .out = out, .format = format, .bench = bench, .isa = isa != NULL ? isa : "unknown"};
    if (format == FBY_REPORT_TABLE)
        fprintf(out, "%s on %s, %s, %u processors; median, and q1..q3 where repeated\n\n", bench,
                fby_cpu_model(), report->isa, fby_cpu_count());
    begin_row(report);
}

void fby_report_row(fby_report *report)
{
    bool heading = report->format != FBY_REPORT_JSON && !same_keys(report);

    if (heading && report->format == FBY_REPORT_TABLE)
        put_heading(report);
    if (report->format == FBY_REPORT_TABLE)
        put_line(report);
    else if (report->format == FBY_REPORT_JSON)
        put_json(report);
    else
        put_csv(report, heading);
    fflush(report->out);

    report->shown = report->count;
    for (size_t i = 0; i < report->count; i++)
        report->shown_keys[i] = report->cells[i].key;
    begin_row(report);
}

fby_status fby_report_end(fby_report *report)
{
    errno = 0;
    if (fflush(report->out) != 0 || ferror(report->out))
        return fby_error_errno(FBY_EIO, errno != 0 ? errno : EIO, "the report");
    return FBY_OK;
}
