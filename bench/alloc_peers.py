#!/usr/bin/env python3
"""What `make bench-alloc` measures: bench/alloc_workload under one malloc after another.

    alloc_peers.py build [--rounds N] [--workloads NAME ...] [--threads N ...] [--memory-rounds N]

Every round runs each allocator once, in turn and in another order each time, in
a process of its own: glibc's malloc, and jemalloc, tcmalloc and mimalloc from
Debian's packages, and what FBY_BENCH_ALLOCATORS names (NAME=PATH or PATH, colon
separated). BENCH_OPS, BENCH_THREADS ("1 2") and BENCH_SEED are passed on or read.
BENCH_TRACES names traces for `recorded` (colon separated).

Writes bench/results/alloc.csv, medians and quartiles a workload, thread count
and allocator, and pictures to bench/plots/. Standard library and gnuplot.
"""
import argparse
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
WORKLOADS = ["rl_small", "rl_medium", "fragmentation_mix", "alignment64", "cross_thread",
             "batch_step", "large_mix", "pair32", "rl_small_uniform", "rl_medium_uniform",
             "fragmentation_mix_uniform", "alignment64_uniform"]
MIXES = [w for w in WORKLOADS if w not in ("cross_thread", "batch_step", "pair32")]
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


def rounds(args, peers, workload, threads, columns, count, **how):
    """{allocator: {column: [a value a round]}}; `columns` is a list, or a function of a point."""
    values = {name: {} for name in peers}
    for number in range(count):
        order = list(peers)
        random.Random(number).shuffle(order)
        for name in order:
            point = run(args.build, peers[name], workload, threads, args.seed + number, **how)
            for column in columns(point) if callable(columns) else columns:
                values[name].setdefault(column, []).append(point[column])
    return values


def report(writer, label, threads, values):
    others = [name for name in values if name in ("glibc", *DEBIAN)]
    for column in values[OURS]:
        medians = {name: spread(v[column])[1] for name, v in values.items()}
        pick = max if column in SPEED else min
        best = pick(others, key=lambda name: medians[name])
        for name, v in values.items():
            q1, median, q3 = spread(v[column])
            writer.writerow([label, threads, name, column, len(v[column]), q1, median, q3, best,
                             median / medians[best] if medians[best] else ""])
        if column not in SPEED + PRINTED + MEMORY:
            continue
        ours = spread(values[OURS][column])
        ratio = ours[1] / medians[best] if medians[best] else float("nan")
        print(f"{label:<26}{threads:>3}  {column:<22}{ours[1]:>12.4g} "
              f"({ours[0]:.4g}..{ours[2]:.4g})  best peer {best} {medians[best]:.4g}  "
              f"ratio {ratio:.3f}", flush=True)


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
            lines.append(f"{count} " + " ".join(
                f'{cell[n, count]["median"]} {cell[n, count]["q1"]} {cell[n, count]["q3"]}'
                for n in names))
        data = "\n".join(lines[1:])
        bars = ", ".join(f"$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) "
                         f'title "{name}"' for i, name in enumerate(names))
        script = f"""set terminal svg size 800,420 font "sans,12"
set output "{plots}/alloc_{label}.svg"
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--memory-rounds", type=int, default=3)
    parser.add_argument("--latency-rounds", type=int, default=9)
    parser.add_argument("--workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--threads", nargs="*", type=int,
                        default=[int(t) for t in os.environ.get("BENCH_THREADS", "1 2 4 8").split()])
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.seed = int(os.environ.get("BENCH_SEED", "1"))
    peers = allocators(args.build)
    results = ROOT / "bench/results"
    results.mkdir(parents=True, exist_ok=True)
    with open(results / "alloc.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["workload", "threads", "allocator", "column", "rounds", "q1", "median",
                         "q3", "best_peer", "ratio"])
        for workload in args.workloads:
            for threads in args.threads:
                if workload == "cross_thread" and threads < 2:
                    continue
                values = rounds(args, peers, workload, threads, SPEED, args.rounds)
                report(writer, workload, threads, values)
        for trace in filter(None, os.environ.get("BENCH_TRACES", "").split(":")):
            for threads in args.threads:
                values = rounds(args, peers, "recorded", threads, SPEED, args.rounds,
                                trace=trace)
                report(writer, "recorded_" + pathlib.Path(trace).stem, threads, values)
        for workload in [w for w in args.workloads if w in MIXES]:
            for threads in [t for t in args.threads if t <= 2]:
                if args.latency_rounds:
                    values = rounds(args, peers, workload, threads, latencies,
                                    args.latency_rounds, latency=True)
                    report(writer, workload, threads, values)
                if args.memory_rounds:
                    values = rounds(args, peers, workload, threads, MEMORY, args.memory_rounds,
                                    settle_ms=2000)
                    report(writer, workload, threads, values)
    with open(results / "alloc.csv", newline="") as file:
        plot(list(csv.DictReader(file)), ROOT / "bench/plots")


if __name__ == "__main__":
    main()
