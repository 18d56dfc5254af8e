# SPDX-License-Identifier: Apache-2.0
"""What one text alone takes: every call embeds one text, engines in turns, tokenising included."""
import csv
import statistics
import sys

COUNT = 64  # texts of a round, evenly spaced over the file


class Line:
    """An engine's rounds: the median and the 99th percentile of each, in seconds."""

    def __init__(self, worker):
        self.worker, self.p50, self.p99 = worker, [], []

    def run(self):
        seconds = sorted(self.worker.ask(do="each")["seconds"])
        self.p50.append(statistics.median(seconds))
        self.p99.append(seconds[len(seconds) * 99 // 100])


def precision_of(name):
    return {"q8_0": "int8"}.get(name.rsplit("-", 1)[1], name.rsplit("-", 1)[1])


def quartiles(samples):
    return statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 \
        else samples * 3


def evenly(lines):
    return lines[::max(1, len(lines) // COUNT)][:COUNT]


def measure_single(workers, texts, args, turn):
    """workers: {name: Worker}, opened with their threads. Yields a row an engine; the ratio is
    Forebay's time at that precision by this engine's, round by round."""
    lines = {name: Line(worker) for name, worker in workers.items()}
    for line in lines.values():
        line.worker.ask(do="texts", texts=evenly(texts.lines))
        line.worker.ask(do="each")
    order = list(lines)
    for _ in range(args.rounds):
        order.append(order.pop(0))
        with turn(args):
            for name in order:
                lines[name].run()
    for name, line in lines.items():
        q1, p50, q3 = quartiles([s * 1e6 for s in line.p50])
        row = {"engine": name, "texts": texts.name, "p50_us": p50, "p50_us_q1": q1,
               "p50_us_q3": q3, "p99_us": statistics.median(line.p99) * 1e6}
        ours = lines.get("forebay-" + precision_of(name))
        if ours and ours is not line:
            row["forebay_ratio_q1"], row["forebay_ratio"], row["forebay_ratio_q3"] = \
                quartiles([a / b for a, b in zip(ours.p50, line.p50)])
        yield row


def single_all(args, names, texts, turn, open_worker):
    """Every file of texts with every number of threads; peers-single.csv."""
    found = []
    for threads in map(int, args.threads):
        workers = {}
        try:
            for name in names:
                try:
                    workers[name] = open_worker(name, threads)
                except Exception as reason:  # the others go on
                    print(f"{name}: alone not measured: {reason}", file=sys.stderr)
            for part in texts:
                rows = list(measure_single(workers, part, args, turn))
                show(part.name, threads, args.rounds, rows)
                found += [{**row, "threads": threads, "rounds": args.rounds} for row in rows]
        finally:
            for worker in workers.values():
                worker.close()
    args.out.mkdir(parents=True, exist_ok=True)
    fields = ["engine", "texts", "threads", "rounds", "p50_us", "p50_us_q1", "p50_us_q3", "p99_us",
              "forebay_ratio", "forebay_ratio_q1", "forebay_ratio_q3"]
    with open(args.out / "peers-single.csv", "w", newline="", encoding="utf-8") as file:
        out = csv.DictWriter(file, fields, restval="")
        out.writeheader()
        out.writerows({key: f"{value:.4g}" if isinstance(value, float) else value
                       for key, value in row.items()} for row in found)


def show(name, threads, rounds, rows):
    print(f"\none text a call, {name}, {threads} thread{'s' if threads > 1 else ''}, "
          f"{rounds} rounds of {COUNT} texts")
    print(f"  {'engine':<27}{'p50 us':>10}{'quartiles':>17}{'p99 us':>10}"
          f"{'forebay takes':>15}{'quartiles':>13}")
    for row in sorted(rows, key=lambda row: row["p50_us"]):
        spread = f"{row['p50_us_q1']:,.0f}..{row['p50_us_q3']:,.0f}"
        ratio = f"{row['forebay_ratio']:.2f} x" if "forebay_ratio" in row else ""
        around = f"{row['forebay_ratio_q1']:.2f}..{row['forebay_ratio_q3']:.2f}" if ratio else ""
        print(f"  {row['engine']:<27}{row['p50_us']:>10,.0f}{spread:>17}{row['p99_us']:>10,.0f}"
              f"{ratio:>15}{around:>13}", flush=True)
