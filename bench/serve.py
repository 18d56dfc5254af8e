#!/usr/bin/env python3
"""What `make bench-serve` measures: the server under load, beside the library.

    serve.py build/forebay [--rows throughput,tail,added,bulk,change,idle,curve] [--rounds N] [--seconds S]

throughput  single texts at 32 connections against `forebay bench embed` on the same texts, less
            what the load generator burns on the same cores; requests/s and p99 as they are
tail        p99 and p50 at 70 % of that load, an open loop
added       what the server adds to fby_embed(): one connection, one short text, one worker each
bulk        short texts at a quarter of their throughput while a text of 8,192 tokens, or a list of
            10,000 texts, runs
change      requests/s at 1, 32, then 1 connections, two seconds after the change: workers that
            choose by themselves beside the best of one worker, and all of them coarse or fine
idle        share of a core that a server with open connections takes while nobody asks
curve       latency over load, for the picture

The measurements of a row are interleaved, at least nine rounds; each figure is a median with its
quartiles. Results: bench/results/serve.csv, serve-rounds.csv; bench/plots/serve.svg. Standard
library and gnuplot. The machine should be idle: rounds are worth as much as it is.
"""
import argparse
import contextlib
import csv
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXTS = ROOT / "bench" / "texts"
MODEL = ROOT / "models" / "all-MiniLM-L6-v2"
ROWS = ["throughput", "tail", "added", "bulk", "change", "idle", "curve"]
CORES = len(os.sched_getaffinity(0))
POSITIONS = 8192
CONNECTIONS = 32


class Results:
    """Rounds as they come, and their medians beside what is wanted."""

    def __init__(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        self.rounds = open(directory / "serve-rounds.csv", "w", newline="", encoding="utf-8")
        self.table = open(directory / "serve.csv", "w", newline="", encoding="utf-8")
        self.each, self.rows = csv.writer(self.rounds), csv.writer(self.table)
        self.each.writerow(["row", "what", "round", "value"])
        self.rows.writerow(["row", "what", "rounds", "q1", "median", "q3", "wanted", "met"])
        print(f"{'row':<12}{'what':<44}{'median':>10}{'quartiles':>22}  wanted")

    def add(self, row, what, values, least=None, most=None):
        """`values` of the rounds; the median should lie between `least` and `most`."""
        for i, value in enumerate(values):
            self.each.writerow([row, what, i, f"{value:.6g}"])
        q1, median, q3 = (statistics.quantiles(values, n=4, method="inclusive")
                          if len(values) > 1 else values * 3)
        wanted, met = "", ""
        if least is not None or most is not None:
            wanted = f">= {least:.4g}" if least is not None else f"<= {most:.4g}"
            met = median >= least if least is not None else median <= most
        self.rows.writerow([row, what, len(values), f"{q1:.6g}", f"{median:.6g}", f"{q3:.6g}",
                            wanted, met])
        self.rounds.flush()
        self.table.flush()
        print(f"{row:<12}{what:<44}{median:>10.4g}{f'{q1:.4g}..{q3:.4g}':>22}  {wanted}"
              f"{'' if met == '' else '  met' if met else '  NOT MET'}", flush=True)
        return median


class Server:
    """`forebay serve` on a free port."""

    def __init__(self, args, model=MODEL, *words):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [args.command, "serve", "-m", model, "--port", str(self.port), "--precision",
             args.precision, "--log-level", "warn", *args.serve.split(), *words])
        while not self.healthy():
            if self.process.poll() is not None:
                sys.exit("the server ended")
            time.sleep(0.02)

    def healthy(self):
        try:
            return get(self.port, "/health").startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exchange(connection, request):
    """Sends, and returns all up to the end that the header says."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += received(connection)
    head = answer.split(b"\r\n\r\n")[0].lower()
    if b"content-length:" in head:
        size = len(head) + 4 + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        parts, have = [answer], len(answer)
        while have < size:
            parts.append(received(connection))
            have += len(parts[-1])
        return b"".join(parts)
    parts, end = [answer], answer[-8:]
    while not end.endswith(b"\r\n0\r\n\r\n"):
        parts.append(received(connection))
        end = (end + parts[-1])[-8:]
    return b"".join(parts)


def received(connection):
    got = connection.recv(1 << 20)
    if not got:
        raise OSError("the server closed the connection")
    return got


def get(port, path):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return exchange(connection, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def bench(args, *words):
    """The last point that `forebay bench` prints."""
    done = subprocess.run([args.command, "bench", *map(str, words), "--json"], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def load(args, server, file, **more):
    words = [word for key, value in {"warm": 0.3, **more}.items() for word in (f"--{key}", value)]
    point = bench(args, "serve", "--port", server.port, "--file", file, "--seconds", args.seconds,
                  *words)
    others = {status: count for status, count in
              (pair.split(":") for pair in point["statuses"].split()) if status != "200"}
    if others or point["broken"] or point["unanswered"]:
        print(f"  not all was answered: {others}, {point['broken']} broken,"
              f" {point['unanswered']} unanswered", file=sys.stderr)
    point["others"] = others
    return point


def embed(args, file, **more):
    words = [word for key, value in more.items() for word in (f"--{key}", value)]
    return bench(args, "embed", "-m", MODEL, "--precision", args.precision, "--file", file,
                 "--seconds", args.seconds, *words)


def throughput(args, results, found):
    with Server(args) as server:
        for name in args.texts:
            file = TEXTS / f"{name}.txt"
            ratios, rates, p99s, burned = [], [], [], []
            for _ in range(args.rounds):
                library = embed(args, file)
                point = load(args, server, file, connections=CONNECTIONS)
                share = point["generator_cpu_s"] / point["seconds"] / CORES
                rates.append(point["answered"] / point["seconds"])
                ratios.append(rates[-1] / (library["texts_per_s"] * (1 - share)))
                p99s.append(point["p99_ms"])
                burned.append(share * CORES)
            found[name] = results.add("throughput", f"{name}: requests/s", rates)
            results.add("throughput", f"{name}: p99, ms", p99s)
            results.add("throughput", f"{name}: cores that the generator burned", burned)
            results.add("throughput", f"{name}: of bench embed less generator", ratios, least=0.9)


def rate_of(args, server, name, found):
    """Requests/s of the texts, measured if no row has done it."""
    if name not in found:
        found[name] = load(args, server, TEXTS / f"{name}.txt",
                           connections=CONNECTIONS)["requests_per_s"]
    return found[name]


def tail(args, results, found):
    with Server(args) as server:
        for name in args.texts:
            rate = 0.7 * rate_of(args, server, name, found)
            points = [load(args, server, TEXTS / f"{name}.txt", connections=CONNECTIONS,
                           rate=f"{rate:.1f}") for _ in range(args.rounds)]
            what = f"{name} at {rate:.0f}/s"
            results.add("tail", f"{what}: p50, ms", [p["p50_ms"] for p in points])
            results.add("tail", f"{what}: p99, ms", [p["p99_ms"] for p in points])
            results.add("tail", f"{what}: p99 / p50", [p["p99_ms"] / p["p50_ms"] for p in points],
                        most=3)


def added(args, results, _):
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "one.txt"
        file.write_text(next(open(TEXTS / "short.txt", encoding="utf-8")), encoding="utf-8")
        rounds = {"spin": [], "adaptive": []}
        for _ in range(args.rounds):
            for wait, points in rounds.items():
                points.append(bench(args, "serve", "-m", MODEL, "--precision", args.precision,
                                    "--file", file, "--library", "--threads", 1, "--wait", wait,
                                    "--seconds", args.seconds, "--warm", 0.3))
    for wait, points in rounds.items():
        results.add("added", f"{wait}: library, us", [p["library_us"] for p in points])
        results.add("added", f"{wait}: server adds, us", [p["added_us"] for p in points],
                    most={"spin": 60, "adaptive": 150}[wait])


def write_long_model(directory):
    """The model with its position table repeated: as fast as one that was trained for so many."""
    for path in MODEL.iterdir():
        if path.suffix in (".json", ".txt") and path.is_file():
            shutil.copy(path, directory)
    shutil.copytree(MODEL / "1_Pooling", directory / "1_Pooling")
    for name, change in {"config.json": {"max_position_embeddings": POSITIONS},
                         "sentence_bert_config.json": {"max_seq_length": POSITIONS},
                         "tokenizer.json": {"truncation": None, "padding": None}}.items():
        content = json.loads((directory / name).read_text(encoding="utf-8"))
        (directory / name).write_text(json.dumps({**content, **change}), encoding="utf-8")
    whole = (MODEL / "model.safetensors").read_bytes()
    size, = struct.unpack_from("<Q", whole)
    tensors, data = json.loads(whole[8:8 + size]), whole[8 + size:]
    header, parts, used = {}, [], 0
    for name, tensor in tensors.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        part = data[begin:end]
        if name.endswith("position_embeddings.weight"):
            part = (part * (POSITIONS // tensor["shape"][0] + 1))[:POSITIONS * tensor["shape"][1] * 4]
            tensor["shape"][0] = POSITIONS
        elif name.endswith("position_ids"):
            continue
        header[name] = dict(tensor, data_offsets=[used, used + len(part)])
        parts.append(part)
        used += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(parts)


class Bulk:
    """One large request after another, from a thread."""

    def __init__(self, port, body):
        self.request = (b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(body), body))
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.stopped, self.failed = False, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.stopped:
                answer = exchange(self.connection, self.request)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise OSError(answer[:300])
        except OSError as error:
            self.failed = None if self.stopped else error

    def stop(self):
        """Hangs up: the server drops what it has not begun."""
        self.stopped = True
        self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.connection.close()


def bulk(args, results, found):
    def list_of(name):
        lines = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1]
        return json.dumps({"input": (lines * 10)[:10000], "encoding_format": "base64"}).encode()

    jobs = {
        f"a text of {POSITIONS} tokens":
            json.dumps({"input": "river " * POSITIONS, "encoding_format": "base64"}).encode(),
        "a list of 10,000 short texts": list_of("short"),
        "a list of 10,000 mixed texts": list_of("mixed"),  # of up to 2,048 tokens: none is cut
    }
    short = TEXTS / "short.txt"
    with tempfile.TemporaryDirectory() as directory:
        write_long_model(pathlib.Path(directory))
        with Server(args, directory) as server:
            rate = f"{rate_of(args, server, 'short', found) / 4:.1f}"
            probe = embed(args, short, batch=32, threads=1)
            # A full batch is 256 tokens; bench embed has told how many a text has.
            texts = max(1, int(256 * probe["texts_a_round"] / probe["tokens_a_round"]))
            alone, batches, beside = [], [], {job: [] for job in jobs}
            for _ in range(args.rounds):
                batches.append(embed(args, short, batch=texts, threads=1)["p50_ms"])
                alone.append(load(args, server, short, connections=CONNECTIONS, rate=rate))
                for job, body in jobs.items():
                    load_of = Bulk(server.port, body)
                    time.sleep(0.2)
                    beside[job].append(load(args, server, short, connections=CONNECTIONS,
                                            rate=rate))
                    load_of.stop()
                    if load_of.failed:
                        print(f"  {job}: {load_of.failed}", file=sys.stderr)
    batch = results.add("bulk", f"a full batch ({texts} short texts), ms", batches)
    p99 = results.add("bulk", f"short at {rate}/s alone: p99, ms", [p["p99_ms"] for p in alone])
    for job, points in beside.items():
        results.add("bulk", f"beside {job}: p99, ms", [p["p99_ms"] for p in points],
                    most=p99 + 2 * batch)
        results.add("bulk", f"beside {job}: answers that are not 200",
                    [sum(map(int, p["others"].values())) for p in points], most=0)


def change(args, results, _):
    all_workers = ("--threads", str(CORES), "--parallelism")
    choices = {"auto": (), "one worker": ("--threads", "1"), "coarse": (*all_workers, "coarse"),
               "fine": (*all_workers, "fine")}
    phases = {"1 connection": 1, f"then {CONNECTIONS}": CONNECTIONS, "then 1 again": 1}
    with contextlib.ExitStack() as stack:
        servers = {choice: stack.enter_context(Server(args, MODEL, *words))
                   for choice, words in choices.items()}
        for name in args.texts:
            rates = {phase: {choice: [] for choice in choices} for phase in phases}
            for turn in range(args.rounds):
                order = list(choices)[turn % len(choices):] + list(choices)[:turn % len(choices)]
                for choice in order:
                    for phase, connections in phases.items():
                        point = load(args, servers[choice], TEXTS / f"{name}.txt",
                                     connections=connections, warm=2 if choice == "auto" else 0.3)
                        rates[phase][choice].append(point["requests_per_s"])
            for phase, each in rates.items():
                best = max(list(choices)[1:], key=lambda choice: statistics.median(each[choice]))
                results.add("change", f"{name}, {phase}: auto, requests/s", each["auto"])
                results.add("change", f"{name}, {phase}: auto of {best}",
                            [x / y for x, y in zip(each["auto"], each[best])], least=0.95)


def idle(args, results, _):
    with Server(args) as server:
        connections = [socket.create_connection(("127.0.0.1", server.port))
                       for _ in range(CONNECTIONS)]
        for connection in connections:
            exchange(connection, b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        before, started = server.cpu_seconds(), time.monotonic()
        time.sleep(10)
        share = (server.cpu_seconds() - before) / (time.monotonic() - started)
        for connection in connections:
            connection.close()
    results.add("idle", "% of a core over 10 s", [100 * share], most=0.5)


def curve(args, results, found):
    points = []
    with Server(args) as server:
        most = rate_of(args, server, "short", found)
        for percent in (10, 20, 30, 40, 50, 60, 70, 80, 90, 95):
            rate = most * percent / 100
            point = load(args, server, TEXTS / "short.txt", connections=CONNECTIONS,
                         rate=f"{rate:.1f}")
            points.append((rate, point["p50_ms"], point["p90_ms"], point["p99_ms"]))
            results.add("curve", f"short at {percent} %: p50, ms", [point["p50_ms"]])
            results.add("curve", f"short at {percent} %: p99, ms", [point["p99_ms"]])
    draw(points)


def draw(points):
    if shutil.which("gnuplot") is None:
        print("gnuplot is not installed: no picture", file=sys.stderr)
        return
    plots = ROOT / "bench" / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    data = "\n".join(" ".join(f"{x:.4f}" for x in point) for point in points)
    script = f"""set terminal svg size 800,420 font "sans,12"
set output "{plots}/serve.svg"
set title "single short texts, {CONNECTIONS} connections, open loop"
set xlabel "requests a second"
set ylabel "latency, ms"
set yrange [0:*]
set key left
$data << EOD
{data}
EOD
plot $data using 1:4 with linespoints title "p99", $data using 1:3 with linespoints title "p90", \
$data using 1:2 with linespoints title "p50"
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", type=pathlib.Path)
    parser.add_argument("--rows", default=",".join(ROWS), help="some of " + ", ".join(ROWS))
    parser.add_argument("--texts", default="short,medium")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3, help="of a measurement in a round")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--serve", default="", help="more options of the server, in one word")
    args = parser.parse_args()
    args.command = args.command.resolve()
    args.texts = args.texts.split(",")
    results, found = Results(ROOT / "bench" / "results"), {}
    for row in args.rows.split(","):
        {"throughput": throughput, "tail": tail, "added": added, "bulk": bulk, "change": change,
         "idle": idle, "curve": curve}[row](args, results, found)


if __name__ == "__main__":
    main()
