#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `make bench-alloc` measures: bench/alloc_workload under one malloc after another.

    alloc_peers.py build [--what speed latency memory] [--workloads NAME ...] [--threads N ...]
                         [--rounds N] [--latency-rounds N] [--memory-rounds N]

Every round runs each allocator once, in turn and in another order each time, in
a process of its own: glibc's malloc, and jemalloc, tcmalloc and mimalloc from
Debian's packages, and what FBY_BENCH_ALLOCATORS names (NAME=PATH or PATH, colon
separated). BENCH_OPS, BENCH_THREADS ("1 2") and BENCH_SEED are passed on or read.
`recorded` replays what bench/alloc_traces.py wrote to build/traces, or what
BENCH_TRACES names (colon separated).

bench/alloc_ceiling.c, a loop without a slow path, runs beside them where it can;
it is no peer.

Prints our median (quartiles), the best peer's, and the ratio round by round:
its median (quartiles) and, where there is a target, whether it is reached, short,
or short by less than the quartiles' spread. Writes bench/results/alloc.csv, a row
a workload, thread count, allocator and column; a run of some of the workloads
replaces those rows and keeps the others, so that the whole, which takes half an
hour, can be run in parts. Pictures go to bench/plots/. Standard library and gnuplot.
"""
import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEBIAN = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4",
          "mimalloc": "libmimalloc.so.2"}
OURS = "forebay"
# A loop without a slow path (bench/alloc_ceiling.c), for what it can run; stated, no peer.
CEILING = "ceiling"
WITHOUT_CEILING = ("cross_thread", "large_mix", "recorded")
WORKLOADS = ["rl_small", "rl_medium", "fragmentation_mix", "alignment64", "cross_thread",
             "batch_step", "large_mix", "pair32", "recorded", "rl_small_uniform", "rl_medium_uniform",
             "fragmentation_mix_uniform", "alignment64_uniform"]
MIXES = [w for w in WORKLOADS if w not in ("cross_thread", "batch_step", "pair32", "recorded")]
WHAT = ["speed", "latency", "memory"]
KEY = ["workload", "threads", "allocator", "column"]
FIELDS = KEY + ["rounds", "q1", "median", "q3", "best_peer", "ratio_q1", "ratio", "ratio_q3"]
# Ratios to the best peer that are wanted on one and two threads: at least, then at most.
WANTED_SPEED = {"rl_small": 1.0, "rl_medium": 1.15, "fragmentation_mix": 1.15, "alignment64": 1.03,
                "cross_thread": 1.3, "batch_step": 1.05, "recorded": 1.05, "large_mix": 1.0,
                "pair32": 1.0}
WANTED_OTHERS = {"alloc_batch_p99_ns": 1.0, "free_batch_p99_ns": 1.0, "usable_per_requested": 1.05,
                 "rss_peak_bytes": 1.05}
LEFT_SHARE_MOST = 0.10
# By the clock, and by the time that the threads were on a processor: the second where other work
# competes for the machine.
SPEED = ["mops_per_s", "mops_per_cpu_s"]
# Means of 64 calls, and single calls; these are printed, the other percentiles and those by size
# only written.
PRINTED = ["alloc_batch_p99_ns", "free_batch_p99_ns", "alloc_single_p99_ns", "free_single_p99_ns"]
MEMORY = ["usable_per_requested", "rss_peak_bytes", "rss_left_share", "peak_live_bytes"]


def library(name):
    for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"):
        if (path := pathlib.Path(folder) / name).exists():
            return str(path)
    return None


def allocators(build):
    found = {"glibc": ""}
    for name, file in DEBIAN.items():
        if path := library(file):
            found[name] = path
        else:
            print(f"{name} is not installed: left out", file=sys.stderr)
    for item in filter(None, os.environ.get("FBY_BENCH_ALLOCATORS", "").split(":")):
        name, _, path = item.rpartition("=")
        found[name or pathlib.Path(path).stem] = path
    found[OURS] = str(build / "src/memory/allocator/libforebay-malloc.so")
    if (path := build / "bench/liballoc_ceiling.so").exists():
        found[CEILING] = str(path)
    return found


def run(build, preload, workload, threads, seed, latency=False, settle_ms=0, trace=None):
    env = {**os.environ, "LD_PRELOAD": preload, "BENCH_THREADS": str(threads),
           "BENCH_SEED": str(seed), "BENCH_LATENCY": str(int(latency)),
           "BENCH_SETTLE_MS": str(settle_ms), "BENCH_TRACE": trace or ""}
    done = subprocess.run([build / "bench/alloc_workload", workload], env=env, check=True,
                          capture_output=True, text=True)
    point = json.loads(done.stdout)
    growth = point["rss_peak_bytes"] - point["rss_before_bytes"]
    left = point["rss_after_bytes"] - point["rss_before_bytes"]
    point["rss_left_share"] = left / growth if growth > 0 else 0
    return point


def spread(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return q1, median, q3


def latencies(point):
    return [c for c in point if c.endswith(("_p50_ns", "_p99_ns", "_p999_ns"))]


def round_of(args, peers, order, workload, threads, seed, together, how):
    """{allocator: point}. What only memory is asked of runs together: it sleeps most of the time."""
    def one(name):
        return run(args.build, peers[name], workload, threads, seed, **how)
    with concurrent.futures.ThreadPoolExecutor(len(order) if together else 1) as pool:
        return dict(zip(order, pool.map(one, order)))


def rounds(args, peers, workload, threads, columns, count, together=False, **how):
    """{allocator: {column: [a value a round]}}; `columns` is a list, or a function of a point."""
    values = {name: {} for name in peers}
    for number in range(count):
        order = list(peers)
        random.Random(number).shuffle(order)
        points = round_of(args, peers, order, workload, threads, args.seed + number, together, how)
        for name, point in points.items():
            for column in columns(point) if callable(columns) else columns:
                values[name].setdefault(column, []).append(point[column])
    return values


def verdict(label, threads, column, ours, ratio):
    """`ours` and `ratio` are (q1, median, q3); "" where nothing is wanted."""
    if threads > 2:
        return ""
    if column == "mops_per_s":
        wanted = WANTED_SPEED.get("recorded" if label.startswith("recorded") else label)
        if wanted is None:
            return ""
        near, short = ratio[2] >= wanted, ratio[1] < wanted
    elif column == "rss_left_share":
        wanted = LEFT_SHARE_MOST
        near, short = ours[0] <= wanted, ours[1] > wanted
    elif column in WANTED_OTHERS:
        wanted = WANTED_OTHERS[column]
        near, short = ratio[0] <= wanted, ratio[1] > wanted
    else:
        return ""
    return f"wanted {wanted:g}: " + ("reached" if not short else "within noise" if near else "short")


def report(table, label, threads, values):
    others = [name for name in values if name in ("glibc", *DEBIAN)]
    for column in values[OURS]:
        medians = {name: spread(v[column])[1] for name, v in values.items()}
        pick = max if column in SPEED else min
        best = pick(others, key=lambda name: medians[name])
        for name, v in values.items():
            q1, median, q3 = spread(v[column])
            ratios = [a / b for a, b in zip(v[column], values[best][column]) if b]
            r1, ratio, r3 = spread(ratios) if ratios else ("", "", "")
            table[label, str(threads), name, column] = dict(zip(FIELDS, [
                label, threads, name, column, len(v[column]), q1, median, q3, best, r1, ratio, r3]))
            if name == OURS and column in SPEED + PRINTED + MEMORY:
                said = verdict(label, threads, column, (q1, median, q3), (r1, ratio, r3))
                span = f"{ratio:.3f} ({r1:.3f}..{r3:.3f})" if ratios else "none"
                above = f"  ceiling {medians[CEILING]:.4g}" if CEILING in medians else ""
                print(f"{label:<27}{threads:>2}  {column:<21}{median:>10.4g} ({q1:.4g}..{q3:.4g})  "
                      f"{best} {medians[best]:.4g}  ratio {span}  {said}{above}", flush=True)


def read_table(path):
    """{key: row} of an earlier run; nothing if its columns were others."""
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader) if reader.fieldnames == FIELDS else []
    return {tuple(row[k] for k in KEY): row for row in rows}


def write_table(path, table):
    order = {name: number for number, name in enumerate(WORKLOADS)}

    def place(key):
        return order.get(key[0].split(":")[0], len(order)), key[0], int(key[1])

    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(table[key] for key in sorted(table, key=place))


def plot(rows, plots):
    """A picture a workload: operations a second by thread count."""
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no pictures", file=sys.stderr)
        return
    plots.mkdir(parents=True, exist_ok=True)
    speed = [r for r in rows if r["column"] == "mops_per_s"]
    for label in dict.fromkeys(r["workload"] for r in speed):
        mine = [r for r in speed if r["workload"] == label]
        names = list(dict.fromkeys(r["allocator"] for r in mine))
        threads = sorted({int(r["threads"]) for r in mine})
        cell = {(r["allocator"], int(r["threads"])): r for r in mine}
        lines = ["threads " + " ".join(names)]
        for count in threads:
            found = [cell.get((n, count), {}) for n in names]
            lines.append(f"{count} " + " ".join(
                str(c.get(column, "NaN")) for c in found for column in ("median", "q1", "q3")))
        data = "\n".join(lines[1:])
        bars = ", ".join(f"$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) "
                         f'title "{name}"' for i, name in enumerate(names))
        script = f"""set terminal svg size 800,420 font "sans,12"
set output "{plots}/alloc_{label.replace(":", "_")}.svg"
set title "{label}" noenhanced
set style data histograms
set style histogram errorbars gap 1 linewidth 1
set style fill solid 0.8 noborder
set ylabel "million operations a second"
set xlabel "threads"
set key outside
set yrange [0:*]
$data << END
{data}
END
plot {bars}
"""
        subprocess.run(["gnuplot"], input=script, text=True, check=True)


def traces(args):
    """{label: path} of what `recorded` replays."""
    named = [pathlib.Path(p) for p in os.environ.get("BENCH_TRACES", "").split(":") if p]
    found = named or sorted((args.build / "traces").glob("*.trc"))
    if not found:
        print("recorded is left out: no traces in build/traces (bench/alloc_traces.py)",
              file=sys.stderr)
    return {f"recorded:{p.stem}": str(p) for p in found}


def measure(args, peers, table, what, workload, threads):
    if workload in WITHOUT_CEILING or what == "memory":
        peers = {name: path for name, path in peers.items() if name != CEILING}
    if what == "speed" and workload == "recorded":
        for label, trace in traces(args).items():
            values = rounds(args, peers, workload, threads, SPEED, args.rounds, trace=trace)
            report(table, label, threads, values)
    elif what == "speed" and (workload != "cross_thread" or threads > 1):
        report(table, workload, threads, rounds(args, peers, workload, threads, SPEED, args.rounds))
    elif what == "latency" and workload in MIXES and threads <= 2:
        report(table, workload, threads, rounds(args, peers, workload, threads, latencies,
                                                args.latency_rounds, latency=True))
    elif what == "memory" and workload in MIXES and threads <= 2:
        report(table, workload, threads, rounds(args, peers, workload, threads, MEMORY,
                                                args.memory_rounds, together=True, settle_ms=2000))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--what", nargs="*", choices=WHAT, default=WHAT)
    parser.add_argument("--workloads", nargs="*", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--threads", nargs="*", type=int,
                        default=[int(t) for t in os.environ.get("BENCH_THREADS", "1 2 4 8").split()])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--latency-rounds", type=int, default=9)
    parser.add_argument("--memory-rounds", type=int, default=9)
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.seed = int(os.environ.get("BENCH_SEED", "1"))
    peers = allocators(args.build)
    path = ROOT / "bench/results/alloc.csv"
    table = read_table(path)
    for what in args.what:
        for workload in args.workloads:
            for threads in args.threads:
                measure(args, peers, table, what, workload, threads)
                write_table(path, table)
    plot(list(table.values()), ROOT / "bench/plots")


if __name__ == "__main__":
    main()
