/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that write what metrics.h counts: text of bounded size, sums over agents and
 * workers. Any thread. */
#ifndef FBY_SERVE_METRICS_TEXT_H
#define FBY_SERVE_METRICS_TEXT_H

#include "serve/metrics.h"

/* Whole lines, or in JSON whole pieces, as long as they fit. */
typedef struct fby_metrics_out {
    char *out;
    size_t size, used, whole; /* whole: what all would take */
} fby_metrics_out;

/* A line of at most 1 KiB; a longer one is cut there. */
void fby_metrics_line(fby_metrics_out *out, const char *fmt, ...) FBY_PRINTF(2, 3);

/* "# HELP", "# TYPE". */
void fby_metrics_head(fby_metrics_out *out, const char *name, const char *type, const char *help);

/* `text` as it stands within double quotes: of a label, of JSON. What does not fit is cut. */
enum { FBY_METRICS_QUOTED = 256 };
const char *fby_metrics_label(const char *text, char out[FBY_METRICS_QUOTED]);
const char *fby_metrics_string(const char *text, char out[FBY_METRICS_QUOTED]);

/* Sums over all agents, or workers, of a counter `offset` bytes into each. */
uint64_t fby_metrics_agents(const fby_metrics *metrics, size_t offset);
uint64_t fby_metrics_workers(const fby_metrics *metrics, size_t offset);
#define FBY_AGENTS(metrics, field) fby_metrics_agents((metrics), offsetof(fby_agent_metrics, field))
#define FBY_WORKERS(metrics, field)                                                                \
    fby_metrics_workers((metrics), offsetof(fby_worker_metrics, field))

/* A histogram as it stood: what is in each bucket, the last without a bound. */
typedef struct fby_time_counts {
    uint64_t buckets[FBY_TIME_BUCKETS + 1], count, sum_ns;
} fby_time_counts;
typedef struct fby_size_counts {
    uint64_t buckets[FBY_SIZE_BUCKETS + 1], count, sum;
} fby_size_counts;

/* Summed over agents, or workers (sizes only). */
fby_time_counts fby_metrics_times(const fby_metrics *metrics, size_t offset);
fby_size_counts fby_metrics_agent_sizes(const fby_metrics *metrics, size_t offset);
fby_size_counts fby_metrics_worker_sizes(const fby_metrics *metrics, size_t offset);

/* _bucket, _sum and _count; `labels` is "" or ends with a comma: "stage=\"parse\",". */
void fby_metrics_put_times(fby_metrics_out *out, const char *name, const char *labels,
                           const fby_time_counts *counts);
/* With the first `buckets` bounds. */
void fby_metrics_put_sizes(fby_metrics_out *out, const char *name, const fby_size_counts *counts,
                           int buckets);

/* A bucket's upper bound as its label says it, in seconds: "0.00001". */
const char *fby_time_bound(int bucket);

/* Memory of this process that is in RAM, in bytes; its processor time in microseconds; page faults.
 * 0 where the system does not say. */
typedef struct fby_process_use {
    uint64_t resident_bytes, peak_resident_bytes, cpu_us, minor_faults, major_faults;
} fby_process_use;
fby_process_use fby_process_used(void);

/* te_*, as text-embeddings-inference has them. */
void fby_metrics_tei(const fby_metrics *metrics, fby_metrics_out *out);

#endif
