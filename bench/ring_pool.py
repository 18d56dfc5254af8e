#!/usr/bin/env python3
"""Ring pools beside bare cursors: what `make bench-ring` measures.

    ring_pool.py build/forebay [--processes N] [--rounds N] [--largest SIZE] [--only TABLE ...]

Where a process's memory happens to lie, and which processors it gets, moves a
figure by more than rounds in one process show. So each table is measured in
several processes one after the other, and what is reported is the median of their
medians, with the quartiles of those. Every ratio is of neighbouring runs in one
process.

Writes bench/results/ring.csv and, with gnuplot, bench/plots/ring-*.svg. Standard
library only.
"""
import argparse
import csv
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLES = {
    "pool": ["--pool-sizes", "--in-flight", "64", "--window", "on", "--write", "first"],
    "written": ["--pool-sizes", "--in-flight", "64", "--window", "off", "--kind", "local"],
    "slice": ["--alloc-sizes", "--in-flight", "64", "--window", "on"],
    "trace": ["--trace"],
}
POINT = ("kind", "pool_bytes", "slice_bytes", "in_flight", "window", "write")
MEASURED = ("ns_per_pair", "bare_ns", "ratio_to_bare", "ratio_to_64k", "ns_per_request",
            "ratio_to_1m", "window_to_span")
COUNTED = ("page_faults", "refused")


def spread(values):
    """First quartile, median, third."""
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def measure(args, table):
    """{point: {key: [a value of each process]}}"""
    points = {}
    for process in range(args.processes):
        print(f"\r{table}: process {process + 1} of {args.processes}", end="", file=sys.stderr)
        command = [args.command, "bench", "ring", *TABLES[table], "--rounds", str(args.rounds),
                   "--json"]
        if args.largest:
            command += ["--largest", args.largest]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            row = json.loads(line)
            point = points.setdefault(tuple(row.get(key) for key in POINT), {})
            for key in MEASURED + COUNTED:
                if row.get(key) is not None:
                    point.setdefault(key, []).append(row[key])
    print(file=sys.stderr)
    return points


def write_csv(tables, processes, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["table", *POINT, "column", "processes", "q1", "median", "q3"])
        for table, points in tables.items():
            for point, columns in points.items():
                for key, values in columns.items():
                    writer.writerow([table, *point, key, processes, *spread(values)])


def line(label, values, bound=None):
    q1, median, q3 = spread(values)
    verdict = "" if bound is None else f"  wanted <= {bound:g}{'' if median <= bound else ': NOT MET'}"
    print(f"  {label:<44}{median:8.3f}  ({q1:.3f}..{q3:.3f}){verdict}")


def size(number):
    for unit in ("", " KiB", " MiB", " GiB"):
        if number < 1024:
            return f"{number}{unit}"
        number //= 1024
    return f"{number} TiB"


def report(tables):
    bounds = {"local": (1.6, 1.3), "local-unordered": (2.4, 1.3), "shared": (1.3, None)}
    for point, columns in tables.get("pool", {}).items():
        kind, pool_bytes = point[:2]
        if pool_bytes < 64 << 10:
            continue
        to_bare, to_small = bounds[kind]
        line(f"{kind}, {size(pool_bytes)}: ns a pair", columns["ns_per_pair"])
        line("    times bare", columns["ratio_to_bare"], to_bare)
        if "ratio_to_64k" in columns:
            line("    times the same pool of 64 KiB", columns["ratio_to_64k"], to_small)
    largest = max((p[1] for p in tables.get("written", {})), default=0)
    for point, columns in tables.get("written", {}).items():
        if point[1] == largest and point[5] == "all":
            line(f"window off, all written, {size(largest)}: ns", columns["ns_per_pair"])
            line("    times bare", columns["ratio_to_bare"], 1.1)
    for point, columns in tables.get("trace", {}).items():
        line(f"trace, {size(point[1])}: ns a request", columns["ns_per_request"])
        line("    times 1 MiB", columns["ratio_to_1m"], 1.3)
        line("    window to peak span", columns["window_to_span"], 2)
    faults = sum(sum(columns["page_faults"]) for points in tables.values()
                 for columns in points.values())
    print(f"  page faults after construction, all runs: {faults}")


# ---- pictures ----

HEAD = """set terminal {terminal} size 800,440 font "sans,12"
set output "{output}"
set title "{title}" noenhanced
set logscale x 2
set yrange [0:*]
set key outside noenhanced
set grid ytics lc rgb "#dddddd"
set xlabel "{xlabel}"
set ylabel "ns a pair"
{more}
"""
COLOURS = ("#0b6fa4", "#d1662b", "#3a8a4d", "#8c8c8c", "#7a4fa3", "#b0a030")


def draw(args, name, series, title, xlabel, more=""):
    """`series`: (label, [(x, values)])"""
    output = ROOT / "bench/plots" / f"ring-{name}.{args.picture}"
    output.parent.mkdir(parents=True, exist_ok=True)
    script = HEAD.format(terminal="pngcairo" if args.picture == "png" else "svg", output=output,
                         title=title, xlabel=xlabel, more=more)
    plots = []
    for i, (label, dots) in enumerate(series):
        script += f"$data{i} << END\n"
        for x, values in sorted(dots):
            q1, median, q3 = spread(values)
            script += f"{x} {median} {q1} {q3}\n"
        script += "END\n"
        style = f'lc rgb "{COLOURS[i % len(COLOURS)]}" pt 7 ps 0.6'
        plots.append(f'$data{i} using 1:2:3:4 with yerrorlines {style} title "{label}"')
    subprocess.run(["gnuplot"], input=script + "plot " + ", ".join(plots), text=True, check=True)
    print(f"  {output.relative_to(ROOT)}")


def of(points, key, x, **wanted):
    """The points that are as wanted, for draw()."""
    at = {name: POINT.index(name) for name in POINT}
    return [(point[at[x]], columns[key]) for point, columns in points.items()
            if key in columns and all(point[at[k]] == v for k, v in wanted.items())]


def draw_all(args, tables):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no pictures", file=sys.stderr)
        return
    if "pool" in tables:
        points, written = tables["pool"], tables.get("written", {})
        series = [("local", of(points, "ns_per_pair", "pool_bytes", kind="local")),
                  ("local-unordered",
                   of(points, "ns_per_pair", "pool_bytes", kind="local-unordered")),
                  ("bare cursors", of(points, "bare_ns", "pool_bytes", kind="local")),
                  ("local, window off",
                   of(written, "ns_per_pair", "pool_bytes", kind="local", write="first"))]
        draw(args, "pool-sizes", series, "A slice of 512 bytes, its first line written, 64 in flight",
             "bytes of the pool", "set format x '%.0b %BB'")
        draw(args, "shared",
             [("shared", of(points, "ns_per_pair", "pool_bytes", kind="shared")),
              ("bare hand-over", of(points, "bare_ns", "pool_bytes", kind="shared"))],
             "Handed over 16 at a time between two threads", "bytes of the pool",
             "set format x '%.0b %BB'")
    if "slice" in tables:
        points = tables["slice"]
        series = [(f"{kind}, {write}", of(points, "ns_per_pair", "slice_bytes", kind=kind,
                                          write=write))
                  for kind in ("local", "local-unordered") for write in ("first", "all")]
        series.append(("bare, all", of(points, "bare_ns", "slice_bytes", kind="local",
                                       write="all")))
        draw(args, "alloc-sizes", series, "Slices of 1 to 64 vectors, 64 in flight",
             "bytes of a slice", "set logscale y 10\nset yrange [1:*]\nset format x '%.0b %BB'")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--largest", help="of the pools (1G, for slices 2G)")
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--picture", choices=["svg", "png"], default="svg")
    args = parser.parse_args()
    args.command = args.command.resolve()
    tables = {table: measure(args, table) for table in args.only}
    write_csv(tables, args.processes, ROOT / "bench/results/ring.csv")
    report(tables)
    draw_all(args, tables)


if __name__ == "__main__":
    main()
