#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pictures of peers.csv by gnuplot: tokens/s by engine and file of texts, an SVG a thread count.

    plot.py bench/results/peers.csv bench/plots
"""
import csv
import pathlib
import shutil
import subprocess
import sys

SCRIPT = """set terminal svg size 900,480 font 'sans,12' background rgb 'white'
set output '{out}'
set title '{title}' noenhanced
set style data histograms
set style histogram errorbars gap 2 lw 1
set style fill solid 0.85 border -1
set ylabel 'tokens/s, median and quartiles'
set yrange [0:*]
set grid ytics
set key outside right top noenhanced
set datafile separator ','
plot {plots}
"""


def table(rows, engines, texts):
    """A line a file of texts: its name, then median, q1 and q3 of each engine."""
    lines = []
    for name in texts:
        cells = [name]
        for engine in engines:
            row = next((r for r in rows if r["engine"] == engine and r["texts"] == name), None)
            cells += [row[k] for k in ("tokens_per_s", "tokens_per_s_q1", "tokens_per_s_q3")] \
                if row else ["NaN"] * 3
        lines.append(",".join(cells))
    return "\n".join(lines)


def plot(rows, threads, out):
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    texts = list(dict.fromkeys(row["texts"] for row in rows))
    plots = ", ".join(
        f"$data using {3 * i + 2}:{3 * i + 3}:{3 * i + 4}"
        f"{':xticlabels(1)' if i == 0 else ''} title '{engine}'"
        for i, engine in enumerate(engines))
    title = f"{rows[0]['cpu']}, {threads} thread{'s' if threads != '1' else ''}, {rows[0]['date']}"
    target = out / f"peers-{threads}.svg"
    script = SCRIPT.format(out=target, title=title, plots=plots)
    script = f"$data << EOD\n{table(rows, engines, texts)}\nEOD\n" + script
    subprocess.run(["gnuplot", "-"], input=script, text=True, check=True)
    return target


def plot_all(source, out):
    """The pictures' paths; none where gnuplot is missing."""
    if not shutil.which("gnuplot"):
        return []
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with open(source, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [plot([row for row in rows if row["threads"] == threads], threads, out)
            for threads in dict.fromkeys(row["threads"] for row in rows)]


if __name__ == "__main__":
    for path in plot_all(sys.argv[1], sys.argv[2]):
        print(path)
